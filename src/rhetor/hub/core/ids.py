"""Generates ids and reads the clock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable


def wall_clock() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Ids:
    """Generates ids that sort in the order of their creation.

    An id has a prefix, the Unix time in milliseconds, a counter and random digits. The time in ids never
    decreases, even if the clock is set back, so sorting by id sorts by order of acceptance.
    """

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self._clock = clock
        self._last = (0, 0)

    def new(self, prefix: str) -> str:
        """Return a new id: `prefix`, an underscore and 24 hex digits, of which 8 are random."""
        now, (last, count) = self._clock(), self._last
        self._last = (now, 0) if now > last else (last, count + 1)
        return f"{prefix}_{self._last[0]:012x}{self._last[1] & 0xFFFF:04x}{secrets.token_hex(4)}"

    def now(self) -> int:
        """Return the Unix time in milliseconds."""
        return self._clock()
