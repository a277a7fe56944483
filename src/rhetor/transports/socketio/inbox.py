"""The messages that one reader has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

MOST = 16  # messages that wait
MOST_BYTES = 1 << 20  # of them together; one larger message may wait alone
Message = str | bytes


class Inbox:
    """A queue of at most 16 messages, for one reader. A writer waits while it is full."""

    __slots__ = ("_is_closed", "_messages", "_reader", "_size", "_writers")

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._writers: deque[asyncio.Future[None]] = deque()
        self._is_closed = False
        self._size = 0

    async def put(self, message: Message) -> None:
        """Add a message, in the order of the calls. If the inbox is closed, drop it."""
        while not self._has_room(len(message)):
            room = asyncio.get_running_loop().create_future()
            self._writers.append(room)
            await room
        if self._is_closed:
            return
        self._messages.append(message)
        self._size += len(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield the messages until the inbox is closed. Those that were not read by then are dropped."""
        while not self._is_closed:
            if self._messages:
                message = self._messages.popleft()
                self._size -= len(message)
                self._wake_writer()
                yield message
                continue
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def close(self) -> None:
        self._is_closed = True
        self._messages.clear()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        while self._writers:
            self._wake_writer()

    def _has_room(self, size: int) -> bool:
        """Return whether a message of this size may be added, or is dropped because the inbox is closed."""
        if self._is_closed or not self._messages:
            return True
        return len(self._messages) < MOST and self._size + size <= MOST_BYTES

    def _wake_writer(self) -> None:
        while self._writers:
            writer = self._writers.popleft()
            if not writer.done():
                writer.set_result(None)
                return
