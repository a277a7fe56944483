"""Counts the bytes of request bodies and WebSocket messages that are in memory, and limits their sum.

Each body has a limit of its own, but many connections together could still fill the memory. When the sum is
reached, only large bodies are rejected, so that one client's uploads do not keep others from short requests.
"""

from __future__ import annotations

import sys

from rhetor.errors import TooManyBytes

AT_ONCE_BYTES = 128 << 20
SMALL_BYTES = 64 << 10  # a body up to this size is always accepted


class HeldBytes:
    """All bodies and messages of the hub. `limit`: bytes that they may have together; `total`: bytes that
    they have."""

    __slots__ = ("limit", "total")

    def __init__(self, limit: int = AT_ONCE_BYTES) -> None:
        self.limit = limit
        self.total = 0


class Share:
    """The bytes of one request, or of one WebSocket."""

    __slots__ = ("_all", "_size")

    def __init__(self, all_: HeldBytes) -> None:
        self._all = all_
        self._size = 0

    def grow(self, size: int) -> None:
        """Add bytes that have arrived.

        Raises:
            TooManyBytes: there are too many in all, and this is not a small body.
        """
        self._size += size
        self._all.total += size
        if self._size > SMALL_BYTES and self._all.total > self._all.limit:
            raise TooManyBytes(self._all.limit)

    def shrink(self, size: int = 0) -> None:
        """Keep only the last `size` bytes; the others are no longer in memory."""
        self._all.total += size - self._size
        self._size = size


UNLIMITED = HeldBytes(sys.maxsize)  # for a WebSocket that no route has accepted yet
