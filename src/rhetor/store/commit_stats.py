"""Statistics of commits: how many events were appended, also lately, and how long the callers waited."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from time import monotonic
from typing import ClassVar

from msgspec import Struct, field

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
MINUTE = 60  # seconds


class Recent(Struct):
    """Counts per second, of the last minute. `clock`: returns seconds."""

    clock: Callable[[], float] = monotonic
    _counts: list[int] = field(default_factory=lambda: [0] * MINUTE)
    _second: int = -1
    _began: float = -1.0

    def add(self, count: int) -> None:
        now = int(self.clock())
        if now != self._second:  # else, there is nothing to forget
            now = self._now()
        self._counts[now % MINUTE] += count

    @property
    def per_second(self) -> float:
        """The mean of the last minute, or of the time since the beginning if that is shorter."""
        self._now()
        return sum(self._counts) / min(MINUTE, max(1.0, self.clock() - self._began))

    def _now(self) -> int:
        """Return the current second, and forget the counts that are older than a minute."""
        time = self.clock()
        now = int(time)
        if self._second < 0:
            self._second, self._began = now, time
        for second in range(max(self._second, now - MINUTE) + 1, now + 1):
            self._counts[second % MINUTE] = 0
        self._second = now
        return now


class Commits(Struct):
    """Counters of all commits. `events`: the number of events that were appended; `recent`: lately.

    `counts`: a histogram of the times that callers waited. Each item counts the commits up to the bound (in
    seconds) with the same index in `bounds`, the last one those above all bounds. `seconds`: the sum of all
    times.
    """

    bounds: ClassVar[tuple[float, ...]] = BOUNDS
    events: int = 0
    seconds: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    recent: Recent = field(default_factory=Recent)

    def note(self, events: int, seconds: float) -> None:
        """Count one commit."""
        self.events += events
        self.seconds += seconds
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        if events:
            self.recent.add(events)
