"""Events unchanged, as JSON (raw streams, `--json`, exports) and as frames of server-sent events."""

from __future__ import annotations

from msgspec import Struct

from rhetor.domain.timestamps import timestamp
from rhetor.store.base import Record

_NAME = "raw.sse"


def encode(record: Record, prev: int | None = None) -> bytes:
    """Return the event as one JSON object. `prev`: the number of the event before it, if it is not
    `record.prev`."""
    return _object(record, record.prev if prev is None else prev)


def sse(record: Record, prev: int) -> bytes:
    """Return the event as a frame of `text/event-stream`, with its cursor as id.

    `prev`: the number of the frame that this subscription sent before it.
    """
    if prev != record.prev:  # the reader has a filter, or stopped within folded chunks
        return _frame(record, prev)
    if (known := record.frames.get(_NAME)) is None:
        known = record.frames[_NAME] = _frame(record, prev)
    return known


class SseView(Struct):
    """Every event, unchanged, up to the first of a type in `ends`; with `turn_id`, only those of that turn.

    `prev`: the number of the last event that the reader has, 0 for none. `wanted`: only events of these
    types, and the one that ends the view.
    """

    prev: int
    turn_id: str | None = None
    ends: frozenset[str] = frozenset()
    is_over: bool = False
    wanted: frozenset[str] | None = None

    def encode(self, record: Record) -> bytes:
        if self.is_over or (self.turn_id is not None and record.turn_id != self.turn_id):
            return b""
        self.is_over = record.type in self.ends
        if self.wanted is not None and record.type not in self.wanted and not self.is_over:
            return b""
        frame = sse(record, self.prev)
        self.prev = record.seq
        return frame


def _frame(record: Record, prev: int) -> bytes:
    return b"id: %b:%d\ndata: %b\n\n" % (record.epoch.encode(), record.seq, _object(record, prev))


def _object(record: Record, prev: int) -> bytes:
    # ids, types and step names need no escaping in JSON
    epoch, seq = record.epoch, record.seq
    turn = f'"{record.turn_id}"' if record.turn_id else "null"
    head = (
        f'{{"epoch":"{epoch}","seq":{seq},"prev":{prev},"cursor":"{epoch}:{seq}",{_where(record)}'
        f'"turn_id":{turn},"at":"{timestamp(record.at)}","type":"{record.type}","data":'
    )
    return b"%b%b}" % (head.encode(), record.data)


def _where(record: Record) -> str:
    if record.stream.startswith("s_"):
        return f'"session_id":"{record.stream}",'
    if not record.stream.startswith("p_"):
        return '"session_id":null,'
    step = f'"{record.step}"' if record.step else "null"
    return f'"session_id":null,"plan_id":"{record.stream}","step":{step},'
