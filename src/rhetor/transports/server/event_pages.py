"""Pages of the events of a stream: those after a position, and those before one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from rhetor.codec.typed_json import unprocessable
from rhetor.dialects import raw
from rhetor.dialects.event_filter import Types, split, types_of
from rhetor.domain.event import Position
from rhetor.store.base import PAGE, Head, Record, Store, parse_cursor

from . import sse
from .call import Call

MOST_READ = 20_000  # events that one request looks through for those that its filter lets through
END = "end"  # before which the last page ends


async def events_of(
    call: Call, stream: str, head: Head, position: Position, limit: int, events: str | None = None
) -> Response:
    """Return the events after a position: with `Accept: text/event-stream` as a stream without end, otherwise
    at most `limit` of them. `events`: the filter of the query.

    Raises:
        Unprocessable: a name in the filter is no type of events.
    """
    wanted = types_of(split(events))
    if call.accepts_events:
        view = raw.SseView(position.seq, wanted=wanted)
        return sse.EventStream(call.hub, stream, position, view, {"x-cursor": str(position)})
    records, cursor = await _page(call.hub.state.store, stream, position, limit, wanted)
    return _answer(head, records, position.seq, cursor)


async def events_before(
    call: Call, stream: str, head: Head, before: str, limit: int, events: str | None = None
) -> Response:
    """Return the last events before a position, at most `limit`, in order. `before`: its cursor, or `end`.

    Raises:
        Unprocessable: the client asks for a stream of events, or a name in the filter is no type of events.
        MalformedCursor: `before` is neither a cursor nor `end`.
        PositionLost: the position is not, or is no longer, part of the log.
    """
    if call.accepts_events:
        raise unprocessable("query.before", "a stream of events has no page before a cursor; use after")
    place = Position(head.epoch, head.head + 1) if before == END else parse_cursor(before)
    wanted = types_of(split(events))
    records, first, last = await _page_before(call.hub.state.store, stream, place, limit, wanted)
    earlier = Position(place.epoch, first) if first > head.earliest else None
    return _answer(head, records, first - 1, Position(place.epoch, last), str(earlier) if earlier else None)


def _answer(
    head: Head,
    records: Sequence[Record],
    prev: int,
    cursor: Position,
    before: str | UnsetType | None = UNSET,
) -> Response:
    """Return a page. `prev`: the number of the event before the first one. `cursor`, `before`: from which the
    next page, and the page before, are read."""
    prevs = [prev, *(record.seq for record in records)]
    objects = [raw.encode(record, prev) for record, prev in zip(records, prevs, strict=False)]
    answer = {
        "outcome": "ok",
        "recovered": True,
        "epoch": head.epoch,
        "head": head.head,
        "earliest": head.earliest,
        "cursor": str(cursor) if cursor.epoch else None,
        **({} if before is UNSET else {"before": before}),
    }
    meta = msgspec.json.encode(answer)
    return Response(b'%b,"events":[%b]}' % (meta[:-1], b",".join(objects)), media_type="application/json")


async def _page(
    store: Store, stream: str, after: Position, limit: int, wanted: Types | None
) -> tuple[list[Record], Position]:
    """Return at most `limit` events of the wanted types, among the next `MOST_READ` events of the stream, and
    the position up to which they were looked for."""
    found: list[Record] = []
    last = after.seq + MOST_READ
    size = limit if wanted is None else max(limit, PAGE)
    while len(found) < limit and after.seq < last:
        records = await store.page(stream, after, size)
        if not records:
            break
        for record in records:
            after = record.position
            if wanted is None or record.type in wanted:
                found.append(record)
            if len(found) == limit:
                break
        if wanted is None:
            break
    return found, after


async def _page_before(
    store: Store, stream: str, before: Position, limit: int, wanted: Types | None
) -> tuple[list[Record], int, int]:
    """Return the last `limit` events of the wanted types, among the last `MOST_READ` events before a
    position, and the numbers of the first and the last event that were looked at."""
    found: list[Record] = []
    first, last = before.seq, before.seq - 1
    size = limit if wanted is None else max(limit, PAGE)
    while len(found) < limit and before.seq - first < MOST_READ:
        records = await store.page_before(stream, Position(before.epoch, first), size)
        if not records:
            break
        last = max(last, records[-1].seq)
        for record in reversed(records):
            first = record.prev + 1
            if wanted is None or record.type in wanted:
                found.append(record)
            if len(found) == limit:
                break
        if wanted is None:
            break
    return found[::-1], first, last
