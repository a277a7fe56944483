"""Limits on the size of a request, and on how long a client may leave data unread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rhetor.errors import TooSlow
from rhetor.hub.fanout.subscriber import DirectWriter

STALL_SECONDS = 10.0
BODY_BYTES = 8 << 20  # of a request, if its route has no lower limit
CONVERSATION_BYTES = 32 << 20  # of a request with a whole conversation, in the APIs of vendors
LARGER_BODIES = {  # of requests to these paths
    "/api/v2/blobs": 16 << 20,
    "/v1/chat/completions": CONVERSATION_BYTES,
    "/v1/responses": CONVERSATION_BYTES,
    "/v1/responses/compact": CONVERSATION_BYTES,
    "/v1/responses/input_tokens": CONVERSATION_BYTES,
    "/v1/messages": CONVERSATION_BYTES,
    "/v1/messages/count_tokens": CONVERSATION_BYTES,
}
EXTENSION = "rhetor.connection"  # in an ASGI scope: the server's protocol object


async def drained(
    transport: asyncio.WriteTransport,
    is_writable: Callable[[], bool],
    writable: Callable[[], Awaitable[object]],
    seconds: float,
) -> None:
    """Wait until more may be written or the connection is closed, however slowly the client reads.

    Raises:
        TooSlow: the client read nothing for `seconds`.
    """
    while not is_writable():
        unread = transport.get_write_buffer_size()
        try:
            async with asyncio.timeout(seconds):
                await writable()
        except TimeoutError:
            if transport.get_write_buffer_size() >= unread:
                raise TooSlow(f"the client read nothing for {seconds:g} s") from None


def _ignore(frames: bytes) -> bool:
    return True


class TransportWriter(DirectWriter):
    """Writes to the transport directly while the connection `is_open` and its buffer is not `is_full`. Both
    are checked only after `look_again`, which the protocol must call before either changes, and `end` when
    the connection is lost."""

    __slots__ = ("_is_full", "_is_open", "_transport")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        is_open: Callable[[], bool],
        is_full: Callable[[], bool],
    ) -> None:
        super().__init__(self._look)
        self._transport = transport
        self._is_open = is_open
        self._is_full = is_full

    def look_again(self) -> None:
        if self.put is not _ignore:
            self.put = self._look

    def end(self) -> None:
        """Ignore what is written from now on, and forget the connection, which would otherwise stay in memory
        until the next garbage collection."""
        self.put = _ignore
        self._is_open = self._is_full = bool

    def _look(self, frames: bytes) -> bool:
        if self._is_full():
            return False
        if self._is_open():
            self._transport.write(frames)
            if not self._is_full():
                self.put = self._transport.write
        return True
