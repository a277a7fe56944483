from __future__ import annotations

import pytest

from rhetor.domain.event import Event, Folded, OutputDelta, Position
from rhetor.store.base import Head, Record
from rhetor.store.tail import COPIES, RECORD_BYTES, Tail

EPOCH, OTHER = "a" * 32, "b" * 32


def record(seq: int, text: str = "x", stream: str = "s", epoch: str = EPOCH) -> Record:
    return Record.of(Event(stream, Position(epoch, seq), 1, OutputDelta(text), "t"))


def fill(tail: Tail, first: int, last: int, stream: str = "s", text: str = "x") -> None:
    for seq in range(first, last + 1):
        tail.take(stream, Head(EPOCH, seq, 1), [record(seq, text, stream)])


def numbers(tail: Tail, after: int, stream: str = "s", epoch: str = EPOCH) -> list[int] | None:
    page = tail.page(stream, Position(epoch, after), 1_000)
    return None if page is None else [record.seq for record in page]


def test_the_tail_answers_only_if_it_has_all_later_records() -> None:
    tail = Tail()
    fill(tail, 5, 8)
    assert numbers(tail, 6) == [7, 8]
    assert numbers(tail, 8) == []
    assert numbers(tail, 4) == [5, 6, 7, 8]
    assert numbers(tail, 3) is None
    assert numbers(tail, 9) is None
    assert numbers(tail, 6, epoch=OTHER) is None
    assert numbers(tail, 6, stream="none") is None
    assert tail.head("s") == Head(EPOCH, 8, 1)


def test_all_readers_share_one_record() -> None:
    tail = Tail()
    fill(tail, 1, 3)
    one, two = (tail.page("s", Position(EPOCH, 1), 10) for _ in range(2))
    assert one is not None
    assert two is not None
    assert [a is b for a, b in zip(one, two, strict=True)] == [True, True]


def test_a_stream_keeps_its_newest_records_within_its_bounds() -> None:
    tail = Tail(stream_records=3)
    fill(tail, 1, 10)
    assert (numbers(tail, 7), numbers(tail, 6)) == ([8, 9, 10], None)
    tail = Tail(stream_bytes=2 * (RECORD_BYTES + COPIES * 2_000))
    fill(tail, 1, 5, text="x" * 1_500)
    assert (numbers(tail, 3), numbers(tail, 2)) == ([4, 5], None)


def test_the_newest_record_is_kept_whatever_its_size() -> None:
    tail = Tail(stream_bytes=10, total_bytes=10)
    fill(tail, 1, 2, text="x" * 100)
    assert numbers(tail, 1) == [2]


def test_the_least_recently_used_stream_is_dropped_first() -> None:
    size = RECORD_BYTES + COPIES * len(record(1).data)
    tail = Tail(total_bytes=3 * size)
    for stream in "abc":
        fill(tail, 1, 1, stream)
    assert numbers(tail, 0, "a") == [1]  # used again
    fill(tail, 1, 1, "d")
    assert [numbers(tail, 0, stream) for stream in "abcd"] == [[1], None, [1], [1]]
    assert (len(tail), tail.size) == (3, 3 * size)


def test_a_new_epoch_starts_empty() -> None:
    tail = Tail()
    fill(tail, 1, 3)
    tail.take("s", Head(OTHER, 1, 1), [record(1, epoch=OTHER)])
    assert (numbers(tail, 0, epoch=OTHER), numbers(tail, 0)) == ([1], None)
    assert tail.size == RECORD_BYTES + COPIES * len(record(1).data)


def test_folds_and_truncations_apply_to_the_tail() -> None:
    tail = Tail()
    fill(tail, 1, 9)
    fold = Record.of(Event("s", Position(EPOCH, 6), 1, Folded(4, 6), "t"))
    tail.take("s", Head(EPOCH, 9, 1), folds=[fold])
    assert numbers(tail, 0) == [1, 2, 3, 6, 7, 8, 9]
    assert (numbers(tail, 4), numbers(tail, 5)) == ([6, 7, 8, 9], [6, 7, 8, 9])
    tail.take("s", Head(EPOCH, 9, 3))
    assert (numbers(tail, 2), numbers(tail, 0)) == ([3, 6, 7, 8, 9], None)
    tail.take("s", Head(EPOCH, 9, 10))
    assert (numbers(tail, 9), tail.size) == ([], 0)


def test_a_fold_of_records_partly_in_the_tail_leaves_no_gap() -> None:
    tail = Tail(stream_records=3)
    fill(tail, 1, 9)
    tail.take("s", Head(EPOCH, 9, 1), folds=[Record.of(Event("s", Position(EPOCH, 8), 1, Folded(2, 8), "t"))])
    assert numbers(tail, 1) == [8, 9]
    assert numbers(tail, 7) == [8, 9]
    tail.take("s", Head(EPOCH, 9, 1), folds=[Record.of(Event("s", Position(EPOCH, 1), 1, Folded(1, 1), "t"))])
    assert numbers(tail, 1) == [8, 9]


def test_streams_that_nobody_used_for_a_while_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("rhetor.store.tail.monotonic", lambda: now)
    tail = Tail()
    fill(tail, 1, 3, "unused")
    fill(tail, 1, 3, "read")
    now = 115.0
    assert numbers(tail, 1, "read") == [2, 3]
    fill(tail, 1, 3, "new")
    before = tail.size
    now = 121.0
    assert tail.forget_unused(20.0) == before - tail.size == before // 3
    assert [tail.head(stream) is None for stream in ("unused", "read", "new")] == [True, False, False]
    assert tail.forget_unused(20.0) == 0
