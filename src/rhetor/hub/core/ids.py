"""Names and times that the hub gives out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable


def wall_clock() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Ids:
    """Ids that sort in the order in which they were made: a prefix, milliseconds, a counter, randomness.

    The time part never goes back, whatever the clock does, so "by id" is "in order of acceptance".
    """

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self._clock = clock
        self._last = (0, 0)

    def new(self, prefix: str) -> str:
        """`prefix` and 24 hex digits, of which 8 are random."""
        now, (last, count) = self._clock(), self._last
        self._last = (now, 0) if now > last else (last, count + 1)
        return f"{prefix}_{self._last[0]:012x}{self._last[1] & 0xFFFF:04x}{secrets.token_hex(4)}"

    def now(self) -> int:
        """Unix time in milliseconds."""
        return self._clock()
