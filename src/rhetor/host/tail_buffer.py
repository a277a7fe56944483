"""Keeps the last part of a stream in memory: a program's stderr."""

from __future__ import annotations

from collections import deque


class TailBuffer:
    """Keeps about the last `limit` bytes, in whole pieces. `total` counts all bytes, `lost` those dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[tuple[int, int, bytes]] = deque()  # offset, time in ms, data
        self.total = 0
        self.over = False

    @property
    def lost(self) -> int:
        return self._pieces[0][0] if self._pieces else self.total

    def append(self, at_ms: int, data: bytes) -> None:
        self._pieces.append((self.total, at_ms, data))
        self.total += len(data)
        while self.total - self.lost > self._limit and len(self._pieces) > 1:
            self._pieces.popleft()

    def after(self, offset: int) -> tuple[int, int, bytes] | None:
        """Return the first piece from `offset` on as (offset, time in ms, data); None if there is none."""
        for begin, at_ms, data in self._pieces:
            if begin + len(data) > offset:
                skip = max(offset - begin, 0)
                return begin + skip, at_ms, data[skip:]
        return None
