"""How long a client may leave unread what was written to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rhetor.errors import TooSlow

STALL_SECONDS = 10.0


async def drained(
    transport: asyncio.WriteTransport,
    is_writable: Callable[[], bool],
    writable: Callable[[], Awaitable[object]],
    seconds: float,
) -> None:
    """Wait until the client has read so much that more may be written, or its connection is closed. One that
    reads slowly is waited for.

    Raises:
        TooSlow: it read nothing for `seconds`.
    """
    while not is_writable():
        unread = transport.get_write_buffer_size()
        try:
            async with asyncio.timeout(seconds):
                await writable()
        except TimeoutError:
            if transport.get_write_buffer_size() >= unread:
                raise TooSlow(f"nothing was read for {seconds:g} s") from None
