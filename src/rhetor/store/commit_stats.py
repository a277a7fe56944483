"""Statistics of commits: how many events were appended, and how long the callers waited."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from msgspec import Struct, field

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Commits(Struct):
    """Counters of all commits. `events`: the number of events that were appended.

    `counts`: a histogram of the times that callers waited. Each item counts the commits up to the bound (in
    seconds) with the same index in `bounds`, the last one those above all bounds. `seconds`: the sum of all
    times.
    """

    bounds: ClassVar[tuple[float, ...]] = BOUNDS
    events: int = 0
    seconds: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def note(self, events: int, seconds: float) -> None:
        """Count one commit."""
        self.events += events
        self.seconds += seconds
        self.counts[bisect_left(BOUNDS, seconds)] += 1
