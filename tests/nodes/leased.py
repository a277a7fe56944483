"""Two nodes with real sockets and leases on one database, in one process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhetor.background import start, stop
from rhetor.errors import StoreRefused
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.nodes import LiveNode
from rhetor.hub.nodes.several import SeveralNodes
from rhetor.store.postgres.leases import Leases, Renewed
from rhetor.store.postgres.store import PostgresStore
from tests.nodes.pairs import ONE, TWO, until
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.served import Served, served

SECONDS = 1.5  # of a lease
RENEWAL = 0.2


@dataclass
class Leased:
    """A node. `renewing`: the task that renews its lease."""

    home: Served
    nodes: SeveralNodes
    store: PostgresStore
    renewing: asyncio.Task[None]

    async def die(self) -> None:
        """Stop all that reaches the database."""
        self.renewing.cancel()
        await self.store.aclose()


@asynccontextmanager
async def leased(url: str, name: str, *scripts: Any, **options: Any) -> AsyncIterator[Leased]:
    """Run a node that can have programs, in a new folder. `options`: see `served`."""
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with _leased(url, Path(folder), name, *scripts, **options) as found:
            yield found


@asynccontextmanager
async def _leased(url: str, folder: Path, name: str, *scripts: Any, **options: Any) -> AsyncIterator[Leased]:
    leases = Leases(url, name, "127.0.0.1:1", SECONDS)
    renewed = await leases.take()
    store = await PostgresStore.open(url, clock=wall_clock, lease=leases)
    assert leases.fence is not None
    nodes = SeveralNodes(name, leases.fence.number, store.owner)
    nodes.renewed(*_seen(renewed))
    try:
        async with (
            hosting(folder) as hosts,
            served(folder, *scripts, store=store, nodes=nodes, shared=store, hosts=hosts, **options) as home,
        ):
            renewing = start(_renew(leases, nodes), f"lease of {name}")
            yield Leased(home, nodes, store, renewing)
            await stop(renewing)
    finally:
        with suppress(StoreRefused):
            await leases.release()
        await leases.aclose()
        await store.aclose()


@asynccontextmanager
async def two_nodes(url: str, *scripts: Any, **options: Any) -> AsyncIterator[tuple[Leased, Leased]]:
    """Run two nodes that know each other. `scripts`: of the first one."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(leased(url, ONE, *scripts, **options))
        two = await stack.enter_async_context(leased(url, TWO, **options))
        await until(lambda: _know_each_other(one, two))
        yield one, two


async def _know_each_other(one: Leased, two: Leased) -> bool:
    return bool(one.nodes.live and two.nodes.live)


async def _renew(leases: Leases, nodes: SeveralNodes) -> None:
    while True:
        await asyncio.sleep(RENEWAL)
        with suppress(StoreRefused):
            nodes.renewed(*_seen(await leases.renew()))


def _seen(renewed: Renewed) -> tuple[list[LiveNode], bool]:
    found = [LiveNode(each.name, each.address, each.fence, each.since) for each in renewed.nodes]
    return found, renewed.leads
