"""The units in which workers take the tests, and their order.

The tests that run alone come first, while no other test runs. Then come the long ones, so that no worker runs
one while the others have nothing left to do; then the modules whose tests take seconds, most of which start
hubs; and then the others. The modules that use an SDK are one unit, because each worker that runs one of them
imports it for seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import pytest

Unit = Sequence[pytest.Item]
SLOW = ("tests/e2e/", "tests/hostile/", "tests/aish/", "tests/contracts/test_store_machine.py")
AGENTS = "tests/interop/"  # each test starts coding agents
WITH_SDK = (
    "tests/provider/",
    "tests/rhetor/drivers/model_tools/",
    "tests/rhetor/drivers/models/test_client.py",
    "tests/rhetor/test_errors.py",
    "tests/rhetor/transports/mcp/",
    "tests/rhetor/transports/rest/test_management.py",
    "tests/rhetor/transports/rest/test_requests.py",
    "tests/rhetor/transports/rest/test_tool_servers.py",
    "tests/rhetor/transports/websocket/test_interactive.py",
)


def units_of(items: Iterable[pytest.Item]) -> tuple[list[Unit], list[Unit]]:
    """Return the units of the tests that run alone, and those of the others."""
    marked: dict[str | None, list[pytest.Item]] = {"alone": [], "long": [], None: []}
    for item in items:
        marked[_mark(item)].append(item)
    others = marked[None]
    with_sdk = [item for item in others if item.nodeid.startswith(WITH_SDK)]
    modules = list(_modules(item for item in others if not item.nodeid.startswith(WITH_SDK)))
    slow, quick = ([unit for unit in modules if _is_slow(unit) == wanted] for wanted in (True, False))
    long = [unit for module in _modules(marked["long"]) for unit in _divided(module)]
    return [[item] for item in marked["alone"]], [*long, *([with_sdk] if with_sdk else []), *slow, *quick]


def _mark(item: pytest.Item) -> str | None:
    if item.nodeid.startswith(AGENTS):
        return "long"
    return next((mark for mark in ("alone", "long") if item.get_closest_marker(mark)), None)


def _modules(items: Iterable[pytest.Item]) -> Iterator[list[pytest.Item]]:
    for _, tests in groupby(items, lambda item: item.nodeid.split("::")[0]):
        yield list(tests)


def _divided(module: list[pytest.Item]) -> list[list[pytest.Item]]:
    """Each test by itself, unless they share something that takes time to set up."""
    return [module] if any(map(_shares, module)) else [[item] for item in module]


def _shares(item: pytest.Item) -> bool:
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
    return any(each[-1].scope not in ("function", "session") for each in fixtures)


def _is_slow(unit: Unit) -> bool:
    return unit[0].nodeid.startswith(SLOW)
