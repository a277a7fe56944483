"""Limits on how many messages a caller may send through an API, and how many bytes in all."""

from __future__ import annotations

import math

from rhetor.errors import BytesExceeded, RateExceeded

PER_SECOND, BURST = 50.0, 200
BYTES_PER_SECOND = 16 << 20
BYTES_BURST_SECONDS = 1.0
MOST_CALLERS = 10_000


def whole_milliseconds(seconds: float) -> float:
    """Return the time, rounded up, so that a caller who waits for that long is not too early."""
    return math.ceil(seconds * 1000) / 1000


def size_of(content: str | bytes) -> int:
    """Return the number of bytes of a message, which are those of its UTF-8."""
    return len(content) if isinstance(content, bytes) or content.isascii() else len(content.encode())


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


class ByteRates:
    """The bytes that each caller sends: `per_second` in the long run, and those of one second at once.

    A message is accepted whole as long as the caller has not sent too much before it, so that the limit is no
    limit on its size. What it exceeds the limit by is made up for before the next one. At most 10,000 callers
    are remembered; the one that has sent nothing for the longest time is forgotten first.
    """

    def __init__(self, per_second: int = BYTES_PER_SECOND) -> None:
        self.per_second = per_second
        self._even_at: dict[str, float] = {}  # when a caller will have sent no more than `per_second`

    def check(self, subject: str, now: float) -> None:
        """Check that a caller may send a message. `now`: monotonic seconds.

        Raises:
            BytesExceeded: the caller has sent too much.
        """
        wait = self._even_at.get(subject, now) - now - BYTES_BURST_SECONDS
        if wait > 0:
            raise BytesExceeded(self.per_second, whole_milliseconds(wait))

    def note(self, subject: str, size: int, now: float) -> None:
        """Count bytes of a message that is accepted."""
        even_at = max(self._even_at.pop(subject, now), now)
        self._even_at[subject] = even_at + size / self.per_second
        if len(self._even_at) > MOST_CALLERS:
            del self._even_at[next(iter(self._even_at))]
