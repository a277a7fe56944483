"""Two hubs with real sockets on one database, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhetor.domain.principal import Principal
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.nodes import LiveNode, OneNode
from rhetor.store.postgres.store import PostgresStore
from tests.served import Served, served

ONE, TWO = "one-00000001", "two-00000002"


class Pair(OneNode):
    """One of two nodes, as its use cases see them. It reaches the other one without the log."""

    def __init__(self, own: str, homes: dict[str, Served]) -> None:
        self.own = own
        self.lead = ONE
        self.leads = own == ONE
        other = TWO if own == ONE else ONE
        self.live: Mapping[str, LiveNode] = {other: LiveNode(other, "127.0.0.1:1", 1, 1)}
        self._homes = homes

    async def owner(self, stream: str) -> str:
        return self.own

    def of_peer(self, name: str) -> str:
        return self.own

    async def execute(self, node: str, principal: Principal, command: Any, api: str = "") -> Any:
        return await self._homes[node].hub.execute(principal, command, api=api)


@dataclass
class Homes:
    """The two hubs."""

    one: Served
    two: Served


@asynccontextmanager
async def pair(url: str, folder: Path, *scripts: Any, **options: Any) -> AsyncIterator[Homes]:
    """Run the hubs. `options`: of both; see `served`."""
    homes: dict[str, Served] = {}
    async with AsyncExitStack() as stack:
        for name in (ONE, TWO):
            home = folder / name[:3]
            home.mkdir(mode=0o700)
            store = await PostgresStore.open(url, clock=wall_clock, node=name)
            stack.push_async_callback(store.aclose)
            store.is_shared = lambda stream: not stream.startswith(("s_", "p_"))
            hub = served(home, *scripts, store=store, nodes=Pair(name, homes), shared=store, **options)
            homes[name] = await stack.enter_async_context(hub)
        yield Homes(homes[ONE], homes[TWO])


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until something is so at a node to which nothing was sent."""
    async with asyncio.timeout(seconds):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
