"""Readers of one stream who share a task, and what each of them is given, whatever the others do."""

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
    """Counts the pages that are asked for."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_000_000)
        self.pages = 0

    async def page(self, stream: str, after: Position, limit: int = PAGE) -> Sequence[Record]:
        self.pages += 1
        return await super().page(stream, after, limit)


class Ear:
    """A client that has room when the test says so. `heard`: the numbers that it was given, in that order;
    `skipped`: those before which another one came than the frame says; `counted`: bytes of its api that it
    was told of."""

    def __init__(self, api: str = "ear") -> None:
        self.api = api
        self.writer = DirectWriter(self._put)
        self.counted = 0
        self.heard: list[int] = []
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
            while len(self.heard) < count:
                self._more.clear()
                await self._more.wait()

    def _take(self, frames: bytes) -> None:
        self.pieces.append(frames)
        for seq, prev in re.findall(rb'"seq":(\d+),"prev":(\d+)', frames):
            if int(prev) != (self.heard[-1] if self.heard else 0):
                self.skipped.append(int(seq))
            self.heard.append(int(seq))
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

    def follow(self, ear: Ear, after: int = 0, ends: frozenset[str] = frozenset()) -> asyncio.Task[None]:
        place, view = Position(self.start.epoch, after), SseView(after, ends=ends)
        task = self._tasks.create_task(self.broadcaster.follow(STREAM, place, view, ear))
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
    """Let what is ready run, until it is so."""
    for _ in range(1000):
        if wanted():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it did not come; {len(broadcaster)} groups")


async def test_who_stands_at_the_same_place_is_read_to_by_one_task() -> None:
    async with house() as home:
        ears = [Ear() for _ in range(50)]
        for ear in ears:
            home.follow(ear)
        for ear in ears:
            await ear.has(1)
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 1)
        before = home.store.pages
        for _ in range(10):
            await home.say()
            for ear in ears:
                await ear.has(ears[0].heard[-1])
        for ear in ears:
            await ear.has(11)
        assert [ear.heard for ear in ears] == [list(range(1, 12))] * 50
        assert home.store.pages - before <= 20
        assert all(ear.pieces[-1] is ears[0].pieces[-1] for ear in ears)


async def test_the_readers_of_each_api_are_counted_together_without_those_that_had_no_room() -> None:
    async with house() as home:
        ears = [Ear(api) for api in ("sse", "sse", "sse", "ws", "ws")]
        for ear in ears:
            home.follow(ear)
        await settled(home.broadcaster, lambda: all(ear.heard for ear in ears))
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 2)
        ears[0].room.clear()
        await home.say()
        for ear in ears[1:]:
            await ear.has(2)
        size = len(ears[1].pieces[-1])
        assert sum(ear.counted for ear in ears if ear.api == "sse") == 2 * size
        assert sum(ear.counted for ear in ears if ear.api == "ws") == 2 * size
        ears[0].room.set()
        await ears[0].has(2)


async def test_one_that_has_no_room_holds_nobody_up_and_has_everything_in_the_end() -> None:
    async with house() as home:
        slow, *others = ears = [Ear() for _ in range(5)]
        for ear in ears:
            home.follow(ear)
        await settled(home.broadcaster, lambda: all(ear.heard for ear in ears))
        slow.room.clear()
        for _ in range(100):
            await home.say(10)
        for ear in others:
            await ear.has(1001)
        assert slow.heard == [1]
        slow.room.set()
        await slow.has(1001)
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 1)  # it is back among the others
        await home.say()
        for ear in ears:
            await ear.has(1002)
        assert [ear.heard for ear in ears] == [list(range(1, 1003))] * 5
        assert [ear.skipped for ear in ears] == [[]] * 5


async def test_when_the_one_that_reads_for_all_goes_the_next_one_does() -> None:
    async with house() as home:
        ears = [Ear() for _ in range(10)]
        followers = [home.follow(ear) for ear in ears]
        await settled(home.broadcaster, lambda: all(ear.heard for ear in ears))
        for n in range(9):
            followers[n].cancel()
            if n % 2:  # the next but one goes in the same moment in which it is called
                await asyncio.sleep(0)
            await home.say()
            await ears[9].has(n + 2)
        assert ears[9].heard == list(range(1, 11))
        followers[9].cancel()
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 0)


async def test_a_place_that_is_lost_is_told_to_each() -> None:
    async with house() as home:
        lost: list[str] = []

        async def told(ear: Ear) -> None:
            try:
                await home.broadcaster.follow(STREAM, home.start, SseView(0), ear)
            except PositionLost as error:
                lost.append(error.data["outcome"])

        ears = [Ear() for _ in range(3)]
        tasks = [asyncio.create_task(told(ear)) for ear in ears]
        await settled(home.broadcaster, lambda: all(ear.heard for ear in ears))
        await home.store.commit(STREAM, [], base=(STREAM, Position(home.start.epoch, 1)))
        await asyncio.gather(*tasks)
        assert lost == ["epoch_changed"] * 3
        assert len(home.broadcaster) == 0


async def test_the_end_of_a_view_ends_all_that_are_shown_it() -> None:
    async with house() as home:
        ears = [Ear() for _ in range(3)]
        followers = [home.follow(ear, 1, frozenset({"output.delta"})) for ear in ears]
        on = Ear()
        home.follow(on, 1)
        await settled(home.broadcaster, lambda: len(home.broadcaster) == 2)
        await home.say(2)
        await asyncio.gather(*followers)
        await on.has(2)
        assert ([ear.heard for ear in ears], on.heard) == ([[2]] * 3, [2, 3])


async def test_what_is_written_in_one_go_is_bounded() -> None:
    async with house() as home:
        ears = [Ear() for _ in range(2)]
        for ear in ears:
            home.follow(ear)
        await settled(home.broadcaster, lambda: all(ear.heard for ear in ears))
        await home.say(100, "x" * 50_000)
        for ear in ears:
            await ear.has(101)
            assert max(map(len, ear.pieces)) < BATCH_BYTES + 60_000


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_clients_do_each_has_every_event_once_and_in_order(seed: int) -> None:
    random, events = Random(seed), 300
    async with house() as home:
        ears = [Ear() for _ in range(12)]

        async def listen(ear: Ear) -> None:
            """Follow, be cut, follow again from the last number that came."""
            while not ear.heard or ear.heard[-1] < events:
                last = ear.heard[-1] if ear.heard else 0
                follower = home.follow(ear, last)
                for _ in range(random.randrange(30)):
                    if random.random() < 0.1:
                        (ear.room.clear if ear.room.is_set() else ear.room.set)()
                    await asyncio.sleep(0)
                ear.room.set()
                for _ in range(random.randrange(10)):
                    await asyncio.sleep(0)
                follower.cancel()
                await asyncio.wait([follower])

        listening = [asyncio.create_task(listen(ear)) for ear in ears]
        said = 1
        while said < events:
            count = min(random.randint(1, 5), events - said)
            await home.say(count)
            said += count
            await asyncio.sleep(0)
        await asyncio.gather(*listening)
        assert [ear.heard for ear in ears] == [list(range(1, events + 1))] * len(ears)
        assert [ear.skipped for ear in ears] == [[]] * len(ears)
