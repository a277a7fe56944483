"""The newest records of each stream in memory, so that who follows live never asks the database.

Lives in the event loop, is fed by committed changes only and in their order, and knows no database: where
it cannot answer for certain, it says so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from rhetor.domain.event import Position

from .base import Head, Record

# What a record costs beside its JSON (the event once somebody looked inside, the frames' dictionary), and how
# often its bytes are there: as JSON, as text in the event, and in about one dialect's frame.
RECORD_BYTES = 1000
COPIES = 3


def number(record: Record) -> int:
    return record.seq


def behind(records: Sequence[Record], seq: int, limit: int) -> Sequence[Record]:
    """Up to `limit` of the records with a number above `seq`."""
    start = bisect_right(records, seq, key=number)
    return records[start : start + limit]


def put_folds(records: list[Record], folds: Sequence[Record]) -> None:
    """Let each fold stand in the place of those records that it stands for."""
    for fold in folds:
        begin = bisect_right(records, fold.prev, key=number)
        end = bisect_right(records, fold.seq, key=number)
        if begin < end:
            records[begin:end] = [fold]


@dataclass(slots=True)
class _Run:
    """Neighbouring records of one stream that end at its head."""

    head: Head
    records: list[Record] = field(default_factory=list)
    size: int = 0

    def floor(self) -> int:
        """The lowest number behind which all records are here."""
        return self.records[0].prev if self.records else self.head.head

    def take(self, head: Head, records: Sequence[Record], folds: Sequence[Record]) -> None:
        truncated, self.head = head.earliest > self.head.earliest, head
        if folds or truncated:
            put_folds(self.records, folds)
            del self.records[: bisect_right(self.records, head.earliest - 1, key=number)]
            self.size = sum(map(_cost, self.records))
        self.records.extend(records)
        self.size += sum(map(_cost, records))

    def shrink(self, max_records: int, max_bytes: int) -> None:
        """Keep within the bounds, but always the newest record."""
        drop, size = 0, self.size
        while len(self.records) - drop > 1 and (len(self.records) - drop > max_records or size > max_bytes):
            size -= _cost(self.records[drop])
            drop += 1
        del self.records[:drop]
        self.size = size


class Tail:
    """Bounded by records and bytes a stream, and by bytes in total: then the stream goes that was longest
    neither written nor read. The newest record of the newest stream always stays."""

    def __init__(
        self, *, stream_records: int = 1024, stream_bytes: int = 2 << 20, total_bytes: int = 32 << 20
    ) -> None:
        self._stream_records = stream_records
        self._stream_bytes = stream_bytes
        self._total_bytes = total_bytes
        self._runs: dict[str, _Run] = {}  # least recently used first
        self.size = 0

    def __len__(self) -> int:
        """How many streams have something here."""
        return len(self._runs)

    def head(self, stream: str) -> Head | None:
        """The head as of the last change that was taken; None: not known here."""
        run = self._runs.get(stream)
        return run.head if run else None

    def page(self, stream: str, after: Position, limit: int) -> Sequence[Record] | None:
        """As `Log.page`; None where the answer is not certain from what is here."""
        run = self._runs.get(stream)
        if run is None or run.head.epoch != after.epoch or not run.floor() <= after.seq <= run.head.head:
            return None
        self._runs[stream] = self._runs.pop(stream)
        return behind(run.records, after.seq, limit)

    def take(
        self, stream: str, head: Head, records: Sequence[Record] = (), folds: Sequence[Record] = ()
    ) -> None:
        """A committed change: where the stream is now, what came to it, what was folded in it."""
        run = self._runs.pop(stream, None)
        if run is not None:
            self.size -= run.size
        if run is None or run.head.epoch != head.epoch:
            run = _Run(head)
        run.take(head, records, folds)
        run.shrink(self._stream_records, self._stream_bytes)
        self._runs[stream] = run
        self.size += run.size
        self._shrink()

    def _shrink(self) -> None:
        while self.size > self._total_bytes and len(self._runs) > 1:
            oldest = next(iter(self._runs))
            self.size -= self._runs.pop(oldest).size


def _cost(record: Record) -> int:
    return RECORD_BYTES + COPIES * len(record.data)
