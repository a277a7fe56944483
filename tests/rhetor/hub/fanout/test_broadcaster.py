"""Clients that follow one stream share a reader, and each receives every event whatever the others do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest

from rhetor.dialects.raw import SseView
from rhetor.domain.event import OutputDelta, Position
from rhetor.errors import PositionLost
from rhetor.hub.fanout.broadcaster import BATCH_BYTES, Broadcaster
from rhetor.hub.fanout.subscriber import DirectWriter
from rhetor.store.base import PAGE, Draft, Record
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
STREAM = "s_1"


class Counted(MemoryStore):
    """Counts the pages that are read."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_000_000)
        self.pages = 0

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        self.pages += 1
        return await super().page(stream, after, limit)


class Client:
    """A client that has room while `room` is set.

    `received`: the sequence numbers that it received, in order. `skipped`: the numbers of frames whose `prev`
    is not the number received before. `counted`: the bytes that were counted through this client.
    """

    def __init__(self, api: str = "test") -> None:
        self.api = api
        self.writer = DirectWriter(self._put)
        self.counted = 0
        self.received: list[int] = []
        self.skipped: list[int] = []
        self.pieces: list[bytes] = []
        self.room = asyncio.Event()
        self.room.set()
        self._more = asyncio.Event()

    def enclose(self, frames: bytes) -> bytes:
        return frames

    def count(self, size: int) -> None:
        self.counted += size

    def _put(self, enclosed: bytes) -> bool:
        if self.room.is_set():
            self._take(enclosed)
        return self.room.is_set()

    async def write(self, frames: bytes) -> None:
        await self.room.wait()
        self._take(frames)

    async def has(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.received) < count:
                self._more.clear()
                await self._more.wait()

    def _take(self, frames: bytes) -> None:
        self.pieces.append(frames)
        for seq, prev in re.findall(rb'"seq":(\d+),"prev":(\d+)', frames):
            if int(prev) != (self.received[-1] if self.received else 0):
                self.skipped.append(int(seq))
            self.received.append(int(seq))
        self._more.set()


class House:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.store = Counted()
        self.broadcaster = Broadcaster(self.store)
        self.followers: list[asyncio.Task[None]] = []
        self._tasks = tasks
        self.start = Position("", 0)

    async def say(self, count: int = 1, text: str = "x") -> None:
        committed = await self.store.commit(STREAM, [Draft(OutputDelta(text), "t_1") for _ in range(count)])
        self.start = Position(committed.epoch, 0)

    def follow(
        self, client: Client, after: int = 0, ends: frozenset[str] = frozenset()
    ) -> asyncio.Task[None]:
        place, view = Position(self.start.epoch, after), SseView(after, ends=ends)
        task = self._tasks.create_task(self.broadcaster.follow(STREAM, place, view, client))
        self.followers.append(task)
        return task


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        home = House(tasks)
        await home.say()
        yield home
        for task in home.followers:
            task.cancel()


async def settled(broadcaster: Broadcaster, wanted: Callable[[], bool]) -> None:
    """Run ready tasks until `wanted` returns True."""
    for _ in range(1000):
        if wanted():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"the condition was not met; {len(broadcaster)} groups")


async def test_clients_at_the_same_position_share_one_reader() -> None:
    async with house() as home:
        clients = [Client() for _ in range(50)]
        for client in clients:
            home.follow(client)
        for client in clients:
            await client.has(1)
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 1)
        before = home.store.pages
        for _ in range(10):
            await home.say()
            for client in clients:
                await client.has(clients[0].received[-1])
        for client in clients:
            await client.has(11)
        assert [client.received for client in clients] == [list(range(1, 12))] * 50
        assert home.store.pages - before <= 20
        assert all(client.pieces[-1] is clients[0].pieces[-1] for client in clients)


async def test_bytes_are_counted_per_api_without_clients_that_had_no_room() -> None:
    async with house() as home:
        clients = [Client(api) for api in ("sse", "sse", "sse", "ws", "ws")]
        for client in clients:
            home.follow(client)
        await settled(home.broadcaster, lambda: all(client.received for client in clients))
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 2)
        clients[0].room.clear()
        await home.say()
        for client in clients[1:]:
            await client.has(2)
        size = len(clients[1].pieces[-1])
        assert sum(client.counted for client in clients if client.api == "sse") == 2 * size
        assert sum(client.counted for client in clients if client.api == "ws") == 2 * size
        clients[0].room.set()
        await clients[0].has(2)


async def test_a_slow_client_delays_no_other_and_receives_every_event() -> None:
    async with house() as home:
        slow, *others = clients = [Client() for _ in range(5)]
        for client in clients:
            home.follow(client)
        await settled(home.broadcaster, lambda: all(client.received for client in clients))
        slow.room.clear()
        for _ in range(100):
            await home.say(10)
        for client in others:
            await client.has(1001)
        assert slow.received == [1]
        slow.room.set()
        await slow.has(1001)
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 1)  # it has rejoined the group
        await home.say()
        for client in clients:
            await client.has(1002)
        assert [client.received for client in clients] == [list(range(1, 1003))] * 5
        assert [client.skipped for client in clients] == [[]] * 5


async def test_another_client_takes_over_when_the_reader_of_a_group_leaves() -> None:
    async with house() as home:
        clients = [Client() for _ in range(10)]
        followers = [home.follow(client) for client in clients]
        await settled(home.broadcaster, lambda: all(client.received for client in clients))
        for n in range(9):
            followers[n].cancel()
            if n % 2:  # otherwise, the next reader is cancelled at the moment it is woken
                await asyncio.sleep(0)
            await home.say()
            await clients[9].has(n + 2)
        assert clients[9].received == list(range(1, 11))
        followers[9].cancel()
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 0)


async def test_each_client_gets_an_error_when_its_position_is_lost() -> None:
    async with house() as home:
        lost: list[str] = []

        async def told(client: Client) -> None:
            try:
                await home.broadcaster.follow(STREAM, home.start, SseView(0), client)
            except PositionLost as error:
                lost.append(error.data["outcome"])

        clients = [Client() for _ in range(3)]
        tasks = [asyncio.create_task(told(client)) for client in clients]
        await settled(home.broadcaster, lambda: all(client.received for client in clients))
        await home.store.commit(STREAM, [], base=(STREAM, Position(home.start.epoch, 1)))
        await asyncio.gather(*tasks)
        assert lost == ["epoch_changed"] * 3
        assert len(home.broadcaster) == 0


async def test_the_end_of_a_view_ends_all_followers_with_that_view() -> None:
    async with house() as home:
        clients = [Client() for _ in range(3)]
        followers = [home.follow(client, 1, frozenset({"output.delta"})) for client in clients]
        on = Client()
        home.follow(on, 1)
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 2)
        await home.say(2)
        await asyncio.gather(*followers)
        await on.has(2)
        assert ([client.received for client in clients], on.received) == ([[2]] * 3, [2, 3])


async def test_the_size_of_one_write_is_bounded() -> None:
    async with house() as home:
        clients = [Client() for _ in range(2)]
        for client in clients:
            home.follow(client)
        await settled(home.broadcaster, lambda: all(client.received for client in clients))
        await home.say(100, "x" * 50_000)
        for client in clients:
            await client.has(101)
            assert max(map(len, client.pieces)) < BATCH_BYTES + 60_000


@pytest.mark.parametrize("seed", range(20))
async def test_every_client_receives_each_event_once_and_in_order(seed: int) -> None:
    random, events = Random(seed), 300
    async with house() as home:
        clients = [Client() for _ in range(12)]

        async def listen(client: Client) -> None:
            """Follow, get disconnected, and follow again from the last number received."""
            while not client.received or client.received[-1] < events:
                last = client.received[-1] if client.received else 0
                follower = home.follow(client, last)
                for _ in range(random.randrange(30)):
                    if random.random() < 0.1:
                        (client.room.clear if client.room.is_set() else client.room.set)()
                    await asyncio.sleep(0)
                client.room.set()
                for _ in range(random.randrange(10)):
                    await asyncio.sleep(0)
                follower.cancel()
                await asyncio.wait([follower])

        listening = [asyncio.create_task(listen(client)) for client in clients]
        said = 1
        while said < events:
            count = min(random.randint(1, 5), events - said)
            await home.say(count)
            said += count
            await asyncio.sleep(0)
        await asyncio.gather(*listening)
        assert [client.received for client in clients] == [list(range(1, events + 1))] * len(clients)
        assert [client.skipped for client in clients] == [[]] * len(clients)
