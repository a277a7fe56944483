"""Each worker imports its own share of the test modules first, so that not every worker compiles all of them.

The order of the imports is the only difference. By the time the collection comes to the other shares, the
workers that own them have written their bytecode.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    if worker := getattr(session.config, "workerinput", None):
        number, workers = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        for name in share(_modules(session.config), number, workers):
            with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection reports it
                importlib.import_module(name)
    return (yield)


def share(names: Sequence[str], number: int, workers: int) -> Sequence[str]:
    """Return the part of worker `number`, from 0. Together, the parts are all names."""
    return names[len(names) * number // workers : len(names) * (number + 1) // workers]


def _modules(config: pytest.Config) -> list[str]:
    """The names of the test modules at the paths that were given, in the order of the collection."""
    files = [file for each in config.args for file in _files(config.rootpath / each.split("::")[0])]
    return [".".join(file.relative_to(config.rootpath).with_suffix("").parts) for file in files]


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
