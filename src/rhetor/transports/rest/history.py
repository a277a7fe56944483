"""What was said: `/api/v2/history` and `/api/v2/search`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from rhetor.auth.policy import Policy
from rhetor.dialects.raw import timestamp
from rhetor.hub.sessions import history
from rhetor.store.base import MARK_BEGIN, MARK_END
from rhetor.transports.server.router import Doors

from .dependencies import Here, Who

doors = Doors(tags=["history"])
Limit = Annotated[int, Query(ge=1, le=1000)]


@doors.on("GET", "/api/v2/history", Policy.USER)
async def recent(who: Who, here: Here, limit: Limit = 20) -> dict[str, Any]:
    """The last messages and their answers, newest first."""
    found = await history.recent(here.hub.state, who, limit)
    return {
        "history": [
            {
                "at": timestamp(exchange.at),
                "ai": peer,
                "stream": exchange.stream,
                "turn_id": exchange.turn_id,
                "message": exchange.question,
                "response": exchange.answer,
            }
            for exchange, peer in found
        ]
    }


@doors.on("GET", "/api/v2/search", Policy.USER)
async def search(
    who: Who, here: Here, q: Annotated[str, Query(min_length=1, max_length=1000)], limit: Limit = 20
) -> dict[str, Any]:
    """Messages that have all the words, best first. In `excerpt`, `highlights` are the places (start, length)
    of the words, in characters."""
    hits = await history.search(here.hub.state, who, q, limit)
    return {
        "hits": [
            {
                "at": timestamp(hit.at),
                "ai": peer,
                "stream": hit.stream,
                "cursor": str(hit.position),
                "turn_id": hit.turn_id,
                "role": hit.role,
                **highlighted(hit.excerpt),
            }
            for hit, peer in hits
        ]
    }


def highlighted(marked: str) -> dict[str, Any]:
    """The excerpt without its marks, and where they were."""
    text, places = "", []
    for part in marked.split(MARK_BEGIN):
        word, end, rest = part.partition(MARK_END)
        if end:
            places.append([len(text), len(word)])
        text += word + rest
    return {"excerpt": text, "highlights": places}
