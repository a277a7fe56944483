"""Limits on how many messages a caller may send through an API, per second and at once."""

from __future__ import annotations

import math

from rhetor.errors import RateExceeded

PER_SECOND, BURST = 50.0, 200
MOST_CALLERS = 10_000


def whole_milliseconds(seconds: float) -> float:
    """Return the time, rounded up, so that a caller who waits for that long is not too early."""
    return math.ceil(seconds * 1000) / 1000


class Rates:
    """A token bucket for each caller and API, refilled with `per_second` up to `burst`. At most 10,000
    buckets are remembered; the least recently used one is forgotten first, because it is probably full."""

    def __init__(self, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        self._per_second = per_second
        self.burst = burst
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, subject: str, api: str, now: float, messages: float = 1) -> None:
        """Take one token per message from the caller's bucket. `now`: monotonic seconds.

        Raises:
            RateExceeded: the bucket has too few tokens; none was taken.
        """
        key = (subject, api)
        left, at = self._buckets.pop(key, (float(self.burst), now))
        left = min(float(self.burst), left + (now - at) * self._per_second)
        refused = messages > left
        self._buckets[key] = (left if refused else left - messages, now)
        if len(self._buckets) > MOST_CALLERS:
            del self._buckets[next(iter(self._buckets))]
        if refused:
            wait = (min(messages, self.burst) - left) / self._per_second
            raise RateExceeded(self._per_second, self.burst, whole_milliseconds(wait))
