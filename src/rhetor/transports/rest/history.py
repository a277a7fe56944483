"""Past messages: `/api/v2/history` and `/api/v2/search`."""

from __future__ import annotations

from typing import Any

from rhetor.domain.timestamps import timestamp
from rhetor.hub.sessions import history
from rhetor.store.base import MARK_BEGIN, MARK_END
from rhetor.transports.server.call import Call

from .bodies import HistoryQuery, SearchQuery


async def recent(call: Call, query: HistoryQuery) -> dict[str, Any]:
    """Return the last messages and their answers, newest first. For the next page, repeat the request with
    the last `turn_id` as `before`."""
    found = await history.recent(call.hub.state, call.who, query.limit, query.wanted(), query.before)
    names = await history.session_names(call.hub.state, (exchange.stream for exchange in found))
    return {
        "history": [
            {
                "at": timestamp(exchange.at),
                "ai": exchange.peer,
                "model": exchange.model,
                "stream": exchange.stream,
                "session_name": names.get(exchange.stream),
                "turn_id": exchange.turn_id,
                "message": exchange.question,
                "response": exchange.answer,
            }
            for exchange in found
        ]
    }


async def search(call: Call, query: SearchQuery) -> dict[str, Any]:
    """Return the messages that contain all the words, best match first. `highlights`: start and length of the
    words in `excerpt`, in characters."""
    hits = await history.search(call.hub.state, call.who, query.q, query.limit, query.wanted())
    names = await history.session_names(call.hub.state, (hit.stream for hit, _ in hits))
    return {
        "hits": [
            {
                "at": timestamp(hit.at),
                "ai": peer,
                "stream": hit.stream,
                "session_name": names.get(hit.stream),
                "cursor": str(hit.position),
                "turn_id": hit.turn_id,
                "role": hit.role,
                **highlighted(hit.excerpt),
            }
            for hit, peer in hits
        ]
    }


def highlighted(marked: str) -> dict[str, Any]:
    """Return the excerpt without its marks, and the places that they marked."""
    text, places = "", []
    for part in marked.split(MARK_BEGIN):
        word, end, rest = part.partition(MARK_END)
        if end:
            places.append([len(text), len(word)])
        text += word + rest
    return {"excerpt": text, "highlights": places}
