"""Hands a program's output to one reader at a time: the turn that has claimed it, or the listener in between.

It knows offsets in the spool and who reads next, but not what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rhetor import background

from .failures import HostLost, OutputUnreadable
from .link import HostLink
from .values import Chunk, Exited, Lost

WAITING = 4  # items that are read ahead; the rest stays in the spool
PULL_SECONDS = 0.25  # between two reads of stderr; the host keeps only the last part of it
Item = Chunk | Exited | HostLost


class Stderr:
    """A piece of stderr up to `offset`. `lost` bytes before it were not kept."""

    __slots__ = ("data", "lost", "offset")

    def __init__(self, data: bytes, lost: int, offset: int) -> None:
        self.data = data
        self.lost = lost
        self.offset = offset


class Feed:
    """The output of one program. `offset`: how much of it has been read. `tap` is called with each piece
    when it is first read.

    A turn claims the output; between turns a listener reads it. If a turn claims it, the listener first reads
    what the program had written before the claim, because that belongs to no turn, and then stops.
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
            self.follow_stderr(stderr)

    def follow_stderr(self, offset: int) -> None:
        """Read stderr too, from `offset` on."""
        self._tasks.append(background.start(self._pull(offset), f"stderr {self._link.host_id}"))

    async def give_up(self, reason: HostLost) -> None:
        """Stop reading, and return `reason` as the last item."""
        await background.stop(*self._tasks)
        if self._end is None:
            await self._items.put(reason)

    @property
    def claimed(self) -> bool:
        """Whether a turn has claimed the output, or waits for it."""
        return bool(self._wanted)

    @asynccontextmanager
    async def claim(self, *, at_once: bool = False) -> AsyncIterator[None]:
        """Claim the output for a turn. The listener gets what was written before the claim.

        With `at_once`, for a turn that began under an earlier hub, the turn gets it.
        """
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
        """Wait until no turn holds the output, and hold it as the listener."""
        async with self._floor:
            yield

    @property
    def must_yield(self) -> bool:
        """Whether a turn waits, and all output from before its claim has been read."""
        return any(self.offset >= head for head in self._wanted)

    async def next_unclaimed(self, due: float | None) -> Item | Stderr | None:
        """Return the next item for the listener; None if a turn claims the output, or at `due`."""
        if self._back or self._wanted or not self._items.empty():
            return None if self.must_yield else await self.next(due)
        host_id = self._link.host_id
        item = asyncio.create_task(self.next(due), name=f"next {host_id}")
        asked = asyncio.create_task(self._asked.wait(), name=f"claim {host_id}")
        try:
            await asyncio.wait((item, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await background.stop(item, asked)
        return None if item.cancelled() else item.result()

    async def next(self, due: float | None) -> Item | Stderr | None:
        """Return the next item, or None if there is none until `due` (on the loop's clock).

        Exited or HostLost is the last item, and every later call returns it again.
        """
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
        """Take back the last bytes that were returned, for the next reader."""
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
            pass  # the reader of the output reports it


def _nobody(data: bytes) -> None:
    """Ignore the piece. This is the default tap."""
