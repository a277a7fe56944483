"""The newest records of each stream in memory, so that live followers do not read the database.

The tail is used in the event loop. It receives only committed changes, in order. If it cannot answer with
certainty, it returns None, and the caller reads the database.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from time import monotonic

from msgspec import Struct, field

from rhetor.domain.event import Position

from .base import Head, Record

# The size of a record besides its JSON (the decoded event, the dictionary of frames), and the number of
# copies of its text: as JSON, in the decoded event, and in about one dialect's frame.
RECORD_BYTES = 1000
COPIES = 3


def number(record: Record) -> int:
    return record.seq


def behind(records: Sequence[Record], seq: int, limit: int) -> Sequence[Record]:
    """Return up to `limit` records whose number is above `seq`."""
    start = bisect_right(records, seq, key=number)
    return records[start : start + limit]


def ahead_of(records: Sequence[Record], seq: int, limit: int) -> Sequence[Record]:
    """Return the last `limit` records that have, or replace, events with numbers below `seq`."""
    end = bisect_left(records, seq, key=number)
    if end < len(records) and records[end].prev + 1 < seq:  # folded
        end += 1
    return records[max(0, end - limit) : end]


def put_folds(records: list[Record], folds: Sequence[Record]) -> None:
    """Replace the folded records in the list with their folds."""
    for fold in folds:
        begin = bisect_right(records, fold.prev, key=number)
        end = bisect_right(records, fold.seq, key=number)
        if begin < end:
            records[begin:end] = [fold]


class _Run(Struct):
    """Adjacent records of one stream, up to its head."""

    head: Head
    records: list[Record] = field(default_factory=list)
    size: int = 0
    used: float = 0.0  # when it was last changed or read, in seconds of a monotonic clock

    def floor(self) -> int:
        """Return the lowest number after which all records are in memory."""
        return self.records[0].prev if self.records else self.head.head

    def take(self, head: Head, records: Sequence[Record], folds: Sequence[Record]) -> None:
        truncated, self.head = head.earliest > self.head.earliest, head
        if folds or truncated:
            put_folds(self.records, folds)
            del self.records[: bisect_right(self.records, head.earliest - 1, key=number)]
            self.size = _costs(self.records)
        self.records.extend(records)
        self.size += _costs(records)

    def shrink(self, max_records: int, max_bytes: int) -> None:
        """Remove the oldest records until the run is within its bounds; the newest record always stays."""
        drop, size = 0, self.size
        while len(self.records) - drop > 1 and (len(self.records) - drop > max_records or size > max_bytes):
            size -= _cost(self.records[drop])
            drop += 1
        del self.records[:drop]
        self.size = size


class Tail:
    """The newest records of many streams.

    The records and bytes of each stream and the bytes of all streams are limited. If the total is too large,
    the least recently used stream is removed. The newest record of the most recently used stream always
    stays.
    """

    def __init__(
        self, *, stream_records: int = 1024, stream_bytes: int = 2 << 20, total_bytes: int = 32 << 20
    ) -> None:
        self._stream_records = stream_records
        self._stream_bytes = stream_bytes
        self._total_bytes = total_bytes
        self._runs: dict[str, _Run] = {}  # least recently used first
        self.size = 0

    def __len__(self) -> int:
        """Return the number of streams in memory."""
        return len(self._runs)

    def head(self, stream: str) -> Head | None:
        """Return the head as of the last change, or None if the stream is not in memory."""
        run = self._runs.get(stream)
        return run.head if run else None

    def page(self, stream: str, after: Position, limit: int) -> Sequence[Record] | None:
        """Return the page as `Log.page` does, or None if the records in memory are not sufficient."""
        run = self._runs.get(stream)
        if run is None or run.head.epoch != after.epoch or not run.floor() <= after.seq <= run.head.head:
            return None
        self._runs[stream] = self._runs.pop(stream)
        run.used = monotonic()
        return behind(run.records, after.seq, limit)

    def page_before(self, stream: str, before: Position, limit: int) -> Sequence[Record] | None:
        """Return the page as `Log.page_before` does, or None if the records in memory are not sufficient."""
        run = self._runs.get(stream)
        if run is None or run.head.epoch != before.epoch or before.seq > run.head.head + 1:
            return None
        records = ahead_of(run.records, before.seq, limit)
        if len(records) < limit and run.floor() >= run.head.earliest:
            return None
        self._runs[stream] = self._runs.pop(stream)
        run.used = monotonic()
        return records

    def take(
        self, stream: str, head: Head, records: Sequence[Record] = (), folds: Sequence[Record] = ()
    ) -> None:
        """Record a committed change of a stream: its new head, its new records, and its folds."""
        run = self._runs.pop(stream, None)
        if run is not None:
            self.size -= run.size
        if run is None or run.head.epoch != head.epoch:
            run = _Run(head)
        run.take(head, records, folds)
        if len(run.records) > self._stream_records or run.size > self._stream_bytes:
            run.shrink(self._stream_records, self._stream_bytes)
        run.used = monotonic()
        self._runs[stream] = run
        self.size += run.size
        if self.size > self._total_bytes:
            self._shrink()

    def forget(self, stream: str) -> None:
        """Forget a stream that does not exist any more."""
        if (run := self._runs.pop(stream, None)) is not None:
            self.size -= run.size

    def forget_unused(self, seconds: float) -> int:
        """Forget the streams that were neither changed nor read for so long. Return how many bytes they
        took."""
        before, limit = self.size, monotonic() - seconds
        while self._runs and next(iter(self._runs.values())).used < limit:
            self.size -= self._runs.pop(next(iter(self._runs))).size
        return before - self.size

    def _shrink(self) -> None:
        while self.size > self._total_bytes and len(self._runs) > 1:
            oldest = next(iter(self._runs))
            self.size -= self._runs.pop(oldest).size


def _cost(record: Record) -> int:
    return RECORD_BYTES + COPIES * len(record.data)


def _costs(records: Sequence[Record]) -> int:
    return RECORD_BYTES * len(records) + COPIES * sum([len(record.data) for record in records])
