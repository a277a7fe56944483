"""The order of the tests: those that run alone first, because no other test runs yet, and then the long ones,
so that no worker runs one while the others have nothing left to do.

xdist gives each worker an equal share of the collected tests, in their order. A worker that has finished its
share takes over the last tests of another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")
FIRST = ("alone", "long")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        marked = {mark: [item for item in items if _first_mark(item) == mark] for mark in (*FIRST, None)}
        others = marked.pop(None)
        items[:] = dealt([item for mark in FIRST for item in marked[mark]], others, workers)


def dealt(first: Sequence[T], others: Sequence[T], workers: int) -> list[T]:
    """Return the shares of all workers. The tests in `first` are distributed in turn."""
    found: list[T] = []
    left = list(others)
    total = len(first) + len(others)
    for worker in range(workers):
        mine = first[worker::workers]
        rest = max(0, (total - len(found)) // (workers - worker) - len(mine))
        found += [*mine, *left[:rest]]
        del left[:rest]
    return [*found, *left]


def _first_mark(item: pytest.Item) -> str | None:
    return next((mark for mark in FIRST if item.get_closest_marker(mark)), None)
