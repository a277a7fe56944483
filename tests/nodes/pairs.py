"""Two hubs with real sockets on one database, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.nodes import LiveNode
from rhetor.hub.nodes.several import SeveralNodes
from rhetor.store.postgres.store import PostgresStore
from tests.served import Served, served

ONE, TWO = "one-00000001", "two-00000002"


@dataclass
class Homes:
    """The two hubs."""

    one: Served
    two: Served


@asynccontextmanager
async def pair(url: str, folder: Path, *scripts: Any, **options: Any) -> AsyncIterator[Homes]:
    """Run the hubs. `options`: of both; see `served`."""
    async with AsyncExitStack() as stack:
        stores = [await PostgresStore.open(url, clock=wall_clock, node=name) for name in (ONE, TWO)]
        live = [
            LiveNode(name, "127.0.0.1:1", store.fence.number, number)
            for number, (name, store) in enumerate(zip((ONE, TWO), stores, strict=True))
        ]
        found = []
        for node, store in zip(live, stores, strict=True):
            home = folder / node.name[:3]
            home.mkdir(mode=0o700)
            stack.push_async_callback(store.aclose)
            store.is_shared = lambda stream: not stream.startswith(("s_", "p_"))
            nodes = SeveralNodes(node.name, node.fence, _owner_of)
            nodes.renewed(live, node.name == ONE)
            hub = served(home, *scripts, store=store, nodes=nodes, shared=store, **options)
            found.append(await stack.enter_async_context(hub))
        yield Homes(*found)


async def _owner_of(stream: str) -> None:
    """Let each node own what it is asked to change."""


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until something is so at a node to which nothing was sent."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
