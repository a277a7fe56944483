"""With `--workers N`, a second process helps to compile the test modules of a new clone, which one process
collects: it takes the second half. It also reads the constants of the program, from which Hypothesis chooses
examples."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

MANY = 50  # fewer modules are compiled quickly enough by the collection


@pytest.hookimpl(tryfirst=True, wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    new: list[Path] = []
    if session.config.option.workers > 1 and not sys.dont_write_bytecode:
        new = [file for file in _files(session.config) if not _is_compiled(file)]
    if len(new) <= MANY:
        return (yield)
    root = session.config.rootpath
    names = [".".join(file.relative_to(root).with_suffix("").parts) for file in new]
    pid = _import_in_fork(names[len(names) // 2 :])
    try:
        return (yield)
    finally:
        os.waitpid(pid, 0)


def _import_in_fork(names: Sequence[str]) -> int:
    if pid := os.fork():
        return pid
    try:
        for name in names:
            with contextlib.suppress(Exception, pytest.skip.Exception):  # the collection reports it
                importlib.import_module(name)
        from hypothesis.internal.conjecture.providers import _get_local_constants

        _get_local_constants()  # this writes what it finds to the folder of Hypothesis
    finally:
        os._exit(0)


def _files(config: pytest.Config) -> list[Path]:
    """The test modules at the paths that were given, in the order of the collection."""
    paths = [config.rootpath / each.split("::")[0] for each in config.args]
    return [file for path in paths for file in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path])]


def _is_compiled(file: Path) -> bool:
    return any(file.parent.glob(f"__pycache__/{file.stem}.*-pytest-*.pyc"))
