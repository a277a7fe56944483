"""Counts the deliveries that follow from one message, so that forwards and teams cannot multiply it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from rhetor.domain.event import Cause
from rhetor.errors import FanoutLimit

MOST_ORIGINS = 10_000


class Deliveries:
    """How often each original message was delivered by forwards and teams.

    The counts of at most 10,000 originals are remembered. If a count was forgotten, or the hub was restarted,
    it continues from the number in the message that is passed on, so every chain of deliveries ends.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    @contextmanager
    def counted(self, cause: Cause, number: int, limit: int) -> Iterator[Sequence[Cause]]:
        """Count `number` deliveries that follow from `cause`; yield the cause that each of them passes on.

        If the context is left with an error, nothing was delivered, and nothing is counted.

        Raises:
            FanoutLimit: with these deliveries, there would be more than `limit`; none may be made.
        """
        before = max(self._counts.pop(cause.origin, 0), cause.delivery)
        self._counts[cause.origin] = before
        if before + number > limit:
            raise FanoutLimit(limit)
        self._counts[cause.origin] += number
        if len(self._counts) > MOST_ORIGINS:
            del self._counts[next(iter(self._counts))]
        try:
            yield [replace(cause, delivery=before + each) for each in range(1, number + 1)]
        except BaseException:  # also if the caller is cancelled
            if cause.origin in self._counts:
                self._counts[cause.origin] -= number
            raise
