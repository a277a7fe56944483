"""How much was committed, and how long that took: plain numbers of one run."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import ClassVar

BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True)
class Commits:
    """`events` that were appended. `counts`: commits by how many seconds their callers waited, each up to the
    bound of that place in `bounds`, the last ones above all; `seconds`: of all of them."""

    bounds: ClassVar[tuple[float, ...]] = BOUNDS
    events: int = 0
    seconds: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def note(self, events: int, seconds: float) -> None:
        """One commit that landed."""
        self.events += events
        self.seconds += seconds
        self.counts[bisect_left(BOUNDS, seconds)] += 1
