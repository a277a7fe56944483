"""The event as it is (wire page, section 0): JSON for raw doors, `--json` and exports, and as SSE frames."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from rhetor.domain.event import Event
from rhetor.store.base import Record

_NAME = "raw"
_encode = msgspec.json.encode


def timestamp(at: int) -> str:
    """RFC 3339 in UTC, from Unix time in milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(record: Record, prev: int | None = None) -> bytes:
    """The event as one JSON object. `prev` where it is not the number before the event's own."""
    event = record.event
    if prev is None or prev == event.prev:
        if (known := record.frames.get(_NAME)) is None:
            known = record.frames[_NAME] = _object(event, event.prev, record.data)
        return known
    return _object(event, prev, record.data)


def sse(record: Record, prev: int | None = None) -> bytes:
    """The event as a frame of `text/event-stream`, its cursor as id."""
    if prev is None or prev == record.event.prev:
        if (known := record.frames.get("raw.sse")) is None:
            known = record.frames["raw.sse"] = _frame(record, None)
        return known
    return _frame(record, prev)


def _frame(record: Record, prev: int | None) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (str(record.event.position).encode(), encode(record, prev))


def _object(event: Event, prev: int, data: bytes) -> bytes:
    in_plan = event.stream.startswith("p_")
    head = {
        "epoch": event.position.epoch,
        "seq": event.position.seq,
        "prev": prev,
        "cursor": str(event.position),
        "session_id": event.stream if event.stream.startswith("s_") else None,
        **({"plan_id": event.stream, "step": event.step} if in_plan else {}),
        "turn_id": event.turn_id,
        "at": timestamp(event.at),
        "type": event.payload.type,
    }
    return b'%b,"data":%b}' % (_encode(head)[:-1], data)
