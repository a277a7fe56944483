"""Gives memory back to the system after much traffic.

What large requests took is free again when they are answered, but the C library keeps the pages for later
requests, so the process would stay as large as it once was. The same is true of what the store keeps in
memory for live readers, once there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

from .counters import Tally
from .held_bytes import SMALL_BYTES, HeldBytes

EVERY_SECONDS = 2.0
MUCH_BYTES = 8 << 20
UNUSED_SECONDS = 20.0


async def keep_small(tally: Tally, held: HeldBytes, forget_unused: Callable[[float], int]) -> None:
    """Give free memory back, forever: when the traffic has become less after `MUCH_BYTES`, and when as much
    was forgotten because nobody used it. While a large body is still in memory, give back what is free, and
    again afterwards. `forget_unused`: the store's."""
    trimmed = before = tally.total
    forgotten = 0
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        total = tally.total
        forgotten += forget_unused(UNUSED_SECONDS)
        if max(total - trimmed, forgotten) >= MUCH_BYTES and total - before < MUCH_BYTES:
            if held.total <= SMALL_BYTES:
                trimmed, forgotten = total, 0
            await asyncio.to_thread(_trim)
        before = total


def _trim() -> None:
    if trim := _malloc_trim():
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return malloc_trim(3), or None if the C library has none. ctypes is imported on first use."""
    import ctypes

    return getattr(ctypes.CDLL(None), "malloc_trim", None)
