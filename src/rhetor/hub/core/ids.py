"""Generates ids and reads the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
JUMP = 2_000  # milliseconds; a smaller difference is a correction of the clock
MAX_JUMPS = 1_000


def wall_clock() -> int:
    """Return the Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def elapsed_clock() -> int:
    """Return the milliseconds since the machine was booted, including those in which it was suspended."""
    return time.clock_gettime_ns(_BOOTTIME) // 1_000_000


class Timeline:
    """Measures the time since a moment that was recorded with a clock that may be set.

    Each part of `_parts` begins when the clock was found to have been set: the elapsed time then, and the
    difference between the clock and the elapsed time from then on.
    """

    def __init__(self, clock: Callable[[], int], elapsed: Callable[[], int]) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._parts = [(elapsed(), clock() - elapsed())]

    def now(self) -> int:
        """Return the clock's time."""
        now, elapsed = self._clock(), self._elapsed()
        if abs(now - elapsed - self._parts[-1][1]) > JUMP:
            self._parts.append((elapsed, now - elapsed))
            del self._parts[1:-MAX_JUMPS]
        return now

    def since(self, at: int) -> int:
        """Return the milliseconds since the clock showed `at`."""
        self.now()
        ends = elapsed = self._elapsed()
        for begins, offset in reversed(self._parts):
            if begins <= at - offset <= ends:
                return elapsed - (at - offset)
            ends = begins
        return elapsed - (at - self._parts[0][1])  # from before this process began


class Ids:
    """Generates ids that sort in the order of their creation.

    An id has a prefix, the Unix time in milliseconds, a counter and random digits. The time in ids never
    decreases, even if the clock is set back, so sorting by id sorts by order of acceptance.
    """

    def __init__(
        self, clock: Callable[[], int] = wall_clock, elapsed: Callable[[], int] | None = None
    ) -> None:
        # only the real clock can be set while the hub runs, so only it needs another clock for elapsed time
        elapsed = elapsed or (elapsed_clock if clock is wall_clock else clock)
        self._clock = clock
        self._timeline = Timeline(clock, elapsed)
        self._last = (0, 0)

    def new(self, prefix: str) -> str:
        """Return a new id: `prefix`, an underscore and 24 hex digits, of which 8 are random."""
        now, (last, count) = self._clock(), self._last
        self._last = (now, 0) if now > last else (last, count + 1)
        return f"{prefix}_{self._last[0]:012x}{self._last[1] & 0xFFFF:04x}{os.urandom(4).hex()}"

    def now(self) -> int:
        """Return the Unix time in milliseconds."""
        return self._timeline.now()

    def since(self, at: int) -> int:
        """Return how many milliseconds have passed since `at`, a time that `now` returned, perhaps in an
        earlier hub. Setting the clock does not change that."""
        return self._timeline.since(at)
