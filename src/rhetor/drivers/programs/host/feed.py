"""What a program writes, in order, to whoever has the floor: a conversation, or who listens in between.

It knows places in the spool and who may read next; what the bytes say is not its business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rhetor.drivers import background

from .failures import HostLost, OutputUnreadable
from .link import HostLink
from .values import Chunk, Exited, Lost

WAITING = 4  # items that are read ahead; a program that writes more waits in its spool
PULL_SECONDS = 0.25  # between two looks at stderr: what is not kept in between is only counted
Item = Chunk | Exited | HostLost


class Stderr:
    """A piece of stderr, or how many bytes of it (`lost`) were not kept."""

    __slots__ = ("data", "lost", "offset")

    def __init__(self, data: bytes, lost: int, offset: int) -> None:
        self.data = data
        self.lost = lost
        self.offset = offset


class Feed:
    """`offset`: up to where the output was handed out. `tap` sees every piece when it is handed out first.

    One has the floor at a time; who listens between conversations gives it back when somebody wants it, as
    soon as all has been read that was there when they asked.
    """

    def __init__(
        self,
        link: HostLink,
        offset: int,
        stderr: int | None,
    ) -> None:
        self.offset = offset
        self.tap: Callable[[bytes], None] = _nobody
        self._link = link
        self._items: asyncio.Queue[Item | Stderr] = asyncio.Queue(WAITING)
        self._back = b""
        self._floor = asyncio.Lock()
        self._wanted: list[int] = []
        self._asked = asyncio.Event()
        self._end: Exited | HostLost | None = None
        self._tasks = [background.start(self._read(offset), f"read {link.host_id}", self._unreadable)]
        if stderr is not None:
            self._tasks.append(background.start(self._pull(stderr), f"stderr {link.host_id}"))

    @property
    def taken(self) -> bool:
        """Whether a conversation has the floor, or waits for it."""
        return bool(self._wanted)

    @asynccontextmanager
    async def floor(self, *, at_once: bool = False) -> AsyncIterator[None]:
        """The floor for a conversation: what was written before belongs to who listened; with `at_once` it
        belongs to the conversation, which began before."""
        head = self.offset if at_once else (await self._link.status()).head
        self._wanted.append(head)
        self._asked.set()
        try:
            async with self._floor:
                yield
        finally:
            self._wanted.remove(head)
            if not self._wanted:
                self._asked.clear()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """The floor for who listens while nobody talks."""
        async with self._floor:
            yield

    @property
    def must_yield(self) -> bool:
        """Whether somebody asked for the floor, and all has been read that was there when they did."""
        return any(self.offset >= head for head in self._wanted)

    async def overheard(self, due: float | None) -> Item | Stderr | None:
        """The next item for who listens; None when somebody asks for the floor, or at `due`."""
        if self._back or self._wanted or not self._items.empty():
            return None if self.must_yield else await self.next(due)
        host_id = self._link.host_id
        item = asyncio.create_task(self.next(due), name=f"next {host_id}")
        asked = asyncio.create_task(self._asked.wait(), name=f"floor {host_id}")
        try:
            await asyncio.wait((item, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await background.stop(item, asked)
        return None if item.cancelled() else item.result()

    async def next(self, due: float | None) -> Item | Stderr | None:
        """The next item; None if none came until `due` (of the loop's clock). Exited or HostLost is the last
        one, and is returned again to everyone who asks after it."""
        if self._back:
            data, self._back = self._back, b""
            self.offset += len(data)
            return Chunk(self.offset, 0, data)
        if self._end is not None and self._items.empty():
            return self._end
        try:
            async with asyncio.timeout_at(due):
                item = await self._items.get()
        except TimeoutError:
            return None
        if isinstance(item, Chunk):
            self.offset = item.offset_after
            self.tap(item.data)
        elif isinstance(item, Exited | HostLost):
            self._end = item
        return item

    def give_back(self, data: bytes) -> None:
        """The last bytes of what was handed out belong to somebody else."""
        self._back = data + self._back
        self.offset -= len(data)

    async def aclose(self) -> None:
        await background.stop(*self._tasks)

    async def _read(self, offset: int) -> None:
        try:
            async for item in self._link.read(offset):
                await self._items.put(item)
        except HostLost as lost:
            await self._items.put(lost)

    async def _unreadable(self, error: Exception) -> None:
        await self._items.put(OutputUnreadable(self._link.host_id, error))

    async def _pull(self, offset: int) -> None:
        lost = 0
        try:
            async for item in self._link.read_stderr(offset):
                if isinstance(item, Lost):
                    lost += item.count
                    continue
                await self._items.put(Stderr(item.data, lost, item.offset_after))
                lost = 0
                await asyncio.sleep(PULL_SECONDS)
        except HostLost:
            pass  # the output's reader tells it


def _nobody(data: bytes) -> None:
    """Nobody sees it."""
