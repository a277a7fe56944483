"""The units in which workers take the tests, and their order.

The tests that run alone come first, while no other test runs. Then come the long ones, so that no worker runs
one while the others have nothing left to do; and then the others. Those that wait for hubs and programs come
first among each. The modules that use an SDK are one unit, because each worker that runs one of them imports
it for seconds. Those that use a browser are two units, because each worker has a browser of its own, which
takes seconds to start, and eight of them slow down everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby

import pytest

Unit = Sequence[pytest.Item]
SLOW = ("tests/e2e/", "tests/hostile/", "tests/aish/", "tests/contracts/test_store_machine.py")
AGENTS = "tests/interop/"  # each test starts coding agents
BROWSERS = 2
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
    with_browser = list(_modules(item for item in marked["long"] if item.get_closest_marker("browser")))
    without = (item for item in marked["long"] if not item.get_closest_marker("browser"))
    with_sdk, long = _split(without, WITH_SDK)
    each = [unit for module in _modules(long) for unit in _divided(module)]
    others_with_sdk, others = _split(marked[None], WITH_SDK)
    browsing = [list(chain(*with_browser[first::BROWSERS])) for first in range(BROWSERS)]
    units = [*browsing, with_sdk, *_slow_first(each), others_with_sdk, *_slow_first(_modules(others))]
    return [[item] for item in marked["alone"]], [unit for unit in units if unit]


def _split(
    items: Iterable[pytest.Item], prefixes: tuple[str, ...]
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Return the tests at these paths, and the others."""
    found: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        found[item.nodeid.startswith(prefixes)].append(item)
    return found[True], found[False]


def _slow_first(units: Iterable[Unit]) -> list[Unit]:
    return sorted(units, key=lambda unit: not unit[0].nodeid.startswith(SLOW))


def _mark(item: pytest.Item) -> str | None:
    if item.nodeid.startswith(AGENTS) or item.get_closest_marker("browser"):
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
