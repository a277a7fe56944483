"""The order of the tests: those that run alone first, because no other test runs yet; then the long ones, so
that no worker runs one while the others have nothing left to do; then the modules whose tests take seconds,
most of which start hubs; and then the others. Among these, tests that use an SDK come together, because each
worker that runs one of them imports it for seconds.

xdist gives each worker an equal share of the collected tests, in their order. A worker that has finished its
share takes over the last tests of another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import pytest

T = TypeVar("T")
FIRST = ("alone", "long")
SLOW = ("tests/e2e/", "tests/hostile/", "tests/contracts/test_store_machine.py")
WITH_SDK = (
    "tests/provider/",
    "tests/rhetor/drivers/model_tools/",
    "tests/rhetor/transports/mcp/",
    "tests/rhetor/transports/rest/test_management.py",
    "tests/rhetor/transports/rest/test_requests.py",
    "tests/rhetor/transports/rest/test_tool_servers.py",
    "tests/rhetor/transports/websocket/test_interactive.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        marked = {mark: [item for item in items if _first_mark(item) == mark] for mark in (*FIRST, None)}
        others = marked.pop(None)
        first = [[item] for mark in FIRST for item in marked[mark]]
        slow = _modules([item for item in others if item.nodeid.startswith(SLOW)])
        rest = [item for item in others if not item.nodeid.startswith(SLOW)]
        rest.sort(key=lambda item: not item.nodeid.startswith(WITH_SDK))
        items[:] = dealt([*first, *slow], rest, workers)


def dealt(first: Sequence[Sequence[T]], others: Sequence[T], workers: int) -> list[T]:
    """Return the shares of all workers. The groups in `first` are distributed in turn."""
    found: list[T] = []
    left = list(others)
    total = sum(map(len, first)) + len(others)
    for worker in range(workers):
        mine = [item for group in first[worker::workers] for item in group]
        rest = max(0, (total - len(found)) // (workers - worker) - len(mine))
        found += [*mine, *left[:rest]]
        del left[:rest]
    return [*found, *left]


def _modules(items: Sequence[pytest.Item]) -> Iterator[list[pytest.Item]]:
    """Group the tests by their modules, whose fixtures they share."""
    for _, tests in groupby(items, lambda item: item.nodeid.split("::")[0]):
        yield list(tests)


def _first_mark(item: pytest.Item) -> str | None:
    return next((mark for mark in FIRST if item.get_closest_marker(mark)), None)
