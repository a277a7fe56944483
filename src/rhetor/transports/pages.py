"""A stream from a position on: a page of its events, or all of them and then live, as the client asks."""

from __future__ import annotations

import msgspec
from fastapi import Request, Response

from rhetor.dialects import raw
from rhetor.domain.event import Position
from rhetor.hub.hub import Hub
from rhetor.store.base import Head

from . import events


async def events_of(
    hub: Hub, request: Request, stream: str, head: Head, position: Position, limit: int
) -> Response:
    """With `Accept: text/event-stream` without end, else at most `limit` events."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return events.event_stream(hub, stream, position, {"x-cursor": str(position)})
    records = await hub.state.store.page(stream, position, limit)
    objects = [raw.encode(r, position.seq if i == 0 else None) for i, r in enumerate(records)]
    answer = {"outcome": "ok", "recovered": True, "epoch": head.epoch, "head": head.head}
    meta = msgspec.json.encode({**answer, "earliest": head.earliest})
    return Response(b'%b,"events":[%b]}' % (meta[:-1], b",".join(objects)), media_type="application/json")
