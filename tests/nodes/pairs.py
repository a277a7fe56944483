"""Two hubs with real sockets on one database, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.nodes import LiveNode
from rhetor.hub.nodes.several import SeveralNodes
from rhetor.store.postgres.leases import Leases
from rhetor.store.postgres.store import PostgresStore
from tests.served import Served, served

Hosting = Callable[[Path], AbstractAsyncContextManager[Any]]
LEASE = 600.0  # seconds
ONE, TWO = "one-00000001", "two-00000002"


@dataclass
class Homes:
    """The two hubs."""

    one: Served
    two: Served


@asynccontextmanager
async def pair(
    url: str, folder: Path, *scripts: Any, hosting: Hosting | None = None, **options: Any
) -> AsyncIterator[Homes]:
    """Run the hubs. `options`: of both, as of `served`. `hosting`: makes the `hosts` of each."""
    async with AsyncExitStack() as stack:
        leases = [Leases(url, name, "127.0.0.1:1", LEASE) for name in (ONE, TWO)]
        for lease in leases:
            stack.push_async_callback(lease.aclose)
            await lease.take()
        renewed = await leases[1].renew()
        live = [LiveNode(each.name, each.address, each.fence, each.since) for each in renewed.nodes]
        found = []
        for node, lease in zip(live, leases, strict=True):
            home = folder / node.name[:3]
            home.mkdir(mode=0o700)
            store = await PostgresStore.open(url, clock=wall_clock, lease=lease)
            stack.push_async_callback(store.aclose)
            nodes = SeveralNodes(node.name, node.fence, store.owner)
            nodes.renewed(live, node.name == ONE)
            if hosting is not None:
                options["hosts"] = await stack.enter_async_context(hosting(home))
            hub = served(home, *scripts, store=store, nodes=nodes, shared=store, **options)
            found.append(await stack.enter_async_context(hub))
        yield Homes(*found)


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until something is so at a node to which nothing was sent."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
