"""Tests marked `alone`, which measure time or memory, run while no other worker runs a test.

Two locks do that. Each test that runs holds `now`: shared, or exclusively if it is marked. A test takes `now`
while it holds `next` in the same way. So a marked test waits only for the tests that run already, and those
that come later wait behind it."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = "folder_of_the_locks"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="turns")
        config.stash[_folder] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the folder to each worker."""
    node.workerinput[FOLDER] = node.config.stash[_folder]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not (worker := getattr(item.config, "workerinput", None)):
        return (yield)
    with _turn(Path(worker[FOLDER]), fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH):
        return (yield)


@contextmanager
def _turn(folder: Path, how: int) -> Iterator[None]:
    with (folder / "next").open("w") as following, (folder / "now").open("w") as now:
        fcntl.flock(following, how)
        fcntl.flock(now, how)
        fcntl.flock(following, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(now, fcntl.LOCK_UN)  # closing is not enough: a child may still have it open


_folder = pytest.StashKey[str]()
