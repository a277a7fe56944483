"""What happens to the nodes, to the database, and to the connections between them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random

from tests.nodes.hubs import Node, Nodes
from tests.postgres.cluster import Cluster
from tests.postgres.proxy import Proxy, Side

from .clients import Crowd
from .database import Database

STOPPED_SECONDS = 15.0
TAKE_OVER_SECONDS = 15.0
AGAIN_SECONDS = 40.0  # until messages are acknowledged again, after a fault
CALM = (0.5, 2.0)  # seconds between faults
LONG = " and then" * 150  # words that the provider repeats one by one, which takes 9 s
CUTS: tuple[tuple[bytes, Side, int], ...] = (
    (b"COMMIT", "request", 0),
    (b"COMMIT", "request", 3),
    (b"COMMIT", "answer", 0),
    (b"__asyncpg_stmt_", "request", 4),
    (b"__asyncpg_stmt_", "answer", 0),
)


class Faults:
    """Lets things fail, one after the other. `fenced`: the ports of nodes that wrote when another node had
    taken over."""

    def __init__(
        self,
        crowd: Crowd,
        nodes: Nodes,
        proxies: Sequence[Proxy],
        cluster: Cluster,
        database: Database,
    ) -> None:
        self._crowd, self._nodes, self._proxies = crowd, nodes, proxies
        self._cluster, self._database, self._long = cluster, database, 0
        self._chance = Random(f"{crowd.seed} faults")
        self._began = time.monotonic()
        self._handled: Node | None = None  # the one that a fault ends and starts again
        self.fenced: set[int] = set()

    async def run(self, *faults: Callable[[Faults], Awaitable[None]]) -> None:
        for fault in self._chance.sample(faults, len(faults)):
            await asyncio.sleep(self._chance.uniform(*CALM))
            self.note(fault.__name__.replace("_", " "))
            await fault(self)
            self._handled = None
            async with asyncio.timeout(AGAIN_SECONDS):
                await self._crowd.is_served(5)
        self.note("no more faults")

    async def keep(self) -> None:
        """Start nodes again that end by themselves, as systemd does."""
        while True:
            await asyncio.sleep(1.0)
            for node in self._crowd.nodes:
                status = node.process.returncode if node.process is not None else None
                if node is not self._handled and status is not None:
                    self.note(f"  {node.folder.name} has ended by itself with status {status}")
                    self._crowd.happened["a node ended by itself"] += 1
                    with suppress(AssertionError):  # it could not start, and is started again
                        await node.start()

    def note(self, what: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self._began:6.1f} s  {what}\n")

    async def _owner(self) -> tuple[Node, Proxy]:
        """Return a node that has a lease and its connection to the database."""
        found: list[tuple[Node, Proxy]] = []

        async def one_lives() -> bool:
            ports = {node.port for node in await self._database.nodes() if node.lives}
            pairs = zip(self._crowd.nodes, self._proxies, strict=True)
            found.extend(pair for pair in pairs if pair[0].port in ports)
            return bool(found)

        await self._database.until(one_lives, TAKE_OVER_SECONDS)
        node, proxy = self._chance.choice(found)
        self.note(f"  at {node.folder.name}")
        return node, proxy

    async def a_node_is_killed(self) -> None:
        node, _ = await self._owner()
        self._handled = node
        node.signal(signal.SIGKILL)
        await node.ended()
        await self._taken_over(node)
        await node.start()

    async def a_node_is_killed_and_comes_back_at_once(self) -> None:
        node, _ = await self._owner()
        self._handled = node
        node.signal(signal.SIGKILL)
        await node.ended()
        await node.start()

    async def a_node_ends_in_order(self) -> None:
        node, _ = await self._owner()
        self._handled = node
        node.signal(signal.SIGTERM)
        assert await node.ended() == 0
        await asyncio.sleep(self._chance.uniform(0.0, 2.0))
        await node.start()

    async def the_database_is_killed(self) -> None:
        await asyncio.to_thread(self._cluster.kill)
        await asyncio.sleep(self._chance.uniform(0.0, 2.0))
        await asyncio.to_thread(self._cluster.start)

    async def connections_are_cut_in_mid_commit(self) -> None:
        for trigger, side, count in CUTS:
            _, proxy = await self._owner()
            done = proxy.cut_at(trigger, side, count)
            with suppress(TimeoutError):
                async with asyncio.timeout(3.0):
                    await done.wait()
                    self.note(f"  cut at {trigger.decode()}, {side} {count}")
            proxy.cut_no_more()

    async def all_connections_of_a_node_are_cut(self) -> None:
        _, proxy = await self._owner()
        await proxy.cut_all()

    async def notifications_are_lost(self) -> None:
        for proxy in self._proxies:
            proxy.loses_notifications = True
        await asyncio.sleep(8.0)
        for proxy in self._proxies:
            proxy.loses_notifications = False

    async def a_node_stands_still_for_longer_than_its_lease(self) -> None:
        node, _ = await self._owner()
        self._handled = node
        await self._long_turns(node)
        node.signal(signal.SIGSTOP)
        began = time.monotonic()
        await self._taken_over(node)
        await self.connections_are_cut_in_mid_commit()
        await asyncio.sleep(max(0.0, began + STOPPED_SECONDS - time.monotonic()))
        node.signal(signal.SIGCONT)
        await self._ends_as_it_lost_its_lease(node)

    async def two_owners_exist_at_once(self) -> None:
        """A node that cannot reach the database still serves its clients when another one has taken over."""
        node, proxy = await self._owner()
        self._handled = node
        await self._long_turns(node)
        proxy.hold()
        try:
            await self._taken_over(node)
            await asyncio.sleep(3.0)  # in which both serve
        finally:
            proxy.release()
        await self._ends_as_it_lost_its_lease(node)

    async def _long_turns(self, node: Node) -> None:
        """Let turns run at a node that will still write when it has lost its lease."""
        for _ in range(2):
            self._long += 1
            text = f"m9999-{self._long} tell me what comes next{LONG}"
            self._crowd.sent.add(text)
            session = await self._nodes.session(node)
            self._crowd.acknowledge(text, await self._nodes.send(session, text, f"long {self._long}"))
        await asyncio.sleep(1.0)

    async def _ends_as_it_lost_its_lease(self, node: Node) -> None:
        assert await node.ended() == 1, (node.folder / "stderr").read_text()[-2000:]
        self.fenced.add(node.port)
        await node.start()

    async def _taken_over(self, lost: Node) -> None:
        """Wait until another node has raised the fence of this one."""
        before = await self._fence(lost)

        async def is_fenced_off() -> bool:
            return await self._fence(lost) > before

        took = await self._database.until(is_fenced_off, TAKE_OVER_SECONDS)
        self.note(f"  another node has taken over after {took:.1f} s")

    async def _fence(self, node: Node) -> int:
        return next(each.fence for each in await self._database.nodes() if each.port == node.port)


SOME = (
    Faults.a_node_is_killed_and_comes_back_at_once,
    Faults.the_database_is_killed,
    Faults.a_node_stands_still_for_longer_than_its_lease,
)
ALL = (
    *SOME,
    Faults.a_node_is_killed,
    Faults.a_node_ends_in_order,
    Faults.connections_are_cut_in_mid_commit,
    Faults.all_connections_of_a_node_are_cut,
    Faults.notifications_are_lost,
    Faults.two_owners_exist_at_once,
)
