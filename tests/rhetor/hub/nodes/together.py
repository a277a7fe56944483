"""Several hubs on one PostgreSQL database, in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.rhetor.hub.house import ME, House, house
from tests.scripted import PEERS, ScriptedDriver

from rhetor.background import stop
from rhetor.domain.command import Command
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.errors import FenceLost, StoreRefused
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.limits import Limits
from rhetor.hub.core.nodes import LiveNode
from rhetor.hub.nodes.several import SeveralNodes
from rhetor.store.postgres.leases import Leases, Renewed
from rhetor.store.postgres.store import PostgresStore

SECONDS = 2.5  # of a lease
RENEWAL = 0.2


def wall_clock() -> int:
    return int(time.time() * 1000)


@dataclass
class Node:
    """A hub with its lease. `taken`: the streams that it has taken over."""

    house: House
    nodes: SeveralNodes
    leases: Leases
    store: PostgresStore
    renewing: asyncio.Task[None]
    taken: list[str] = field(default_factory=list)

    @property
    def driver(self) -> ScriptedDriver:
        return self.house.driver

    async def execute(self, command: Command, who: Principal = ME) -> Any:
        return await self.house.hub.execute(who, command)

    async def until_it_sees(self, *names: str, leads: bool | None = None) -> None:
        """Wait until exactly these other nodes are live for it."""
        await eventually(lambda: self.nodes.live.keys() == set(names) and leads in (None, self.nodes.leads))

    async def die(self) -> None:
        """Stop all that reaches the database: the lease is not renewed, and nothing is committed or read."""
        await stop(self.renewing)
        await self.store.aclose()


@asynccontextmanager
async def node(
    url: str,
    name: str,
    *scripts: object,
    peers: Sequence[Peer] = PEERS,
    limits: Limits | None = None,
    seconds: float = SECONDS,
    ids: Ids | None = None,
) -> AsyncIterator[Node]:
    """Start a hub; it renews its lease and takes over others, as `rhetor serve` does."""
    leases = Leases(url, name, f"{name}.test:1", seconds)
    renewed = await leases.take()
    store = await PostgresStore.open(url, clock=wall_clock, lease=leases)
    assert leases.fence is not None
    nodes = SeveralNodes(name, leases.fence.number, store.owner)
    nodes.renewed(*_seen(renewed))
    taken: list[str] = []
    renewing = asyncio.create_task(_renew(leases, nodes, taken))
    try:
        async with house(*scripts, store=store, peers=peers, limits=limits, nodes=nodes, ids=ids) as home:
            yield Node(home, nodes, leases, store, renewing, taken)
    finally:
        await stop(renewing)
        with suppress(StoreRefused):
            await leases.release()
        await leases.aclose()
        await store.aclose()


@asynccontextmanager
async def several(url: str, *names: str, **options: object) -> AsyncIterator[list[Node]]:
    """Start hubs that all know each other."""
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(node(url, name, **options)) for name in names]  # type: ignore[arg-type]
        for each in made:
            await each.until_it_sees(*(set(names) - {each.nodes.own}))
        yield made


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 (several hubs change, and none of them sends an event here)
            await asyncio.sleep(0.01)


async def _renew(leases: Leases, nodes: SeveralNodes, streams: list[str]) -> None:
    while True:
        await asyncio.sleep(RENEWAL)
        try:
            renewed = await leases.renew()
            if renewed.ended:
                for taken in await leases.take_over():
                    streams += taken.streams
                renewed = await leases.renew()
                nodes.taken_over()
        except (FenceLost, StoreRefused):
            continue
        nodes.renewed(*_seen(renewed))


def _seen(renewed: Renewed) -> tuple[list[LiveNode], bool]:
    found = [LiveNode(each.name, each.address, each.fence, each.since) for each in renewed.nodes]
    return found, renewed.leads
