"""Responses that were requested before: `/v1/responses/{id}`.

A response is a turn. What its API stored with the turn is needed to show it; without that, it is not found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from rhetor.dialects.openai_responses_answer import About, Answer, answer_of, turn_of
from rhetor.dialects.openai_responses_input import items_of
from rhetor.dialects.openai_responses_stream import DONE, SseResponse, error_frame, frames_of
from rhetor.dialects.openai_responses_tools import ToolName
from rhetor.domain.command import CancelTurn, ForgetResponse
from rhetor.errors import NotFound
from rhetor.hub.catalog.responses import KIND as RESPONSE
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.sessions.responses import (
    KeptTurn,
    conversation_of,
    records_of,
    stored_response,
    with_turn,
)
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.state import State
from rhetor.transports.server import sse
from rhetor.transports.server.bodies import Scope
from rhetor.transports.server.call import Call, Caller

from .answers import TurnStream
from .asking import place_in
from .open_responses import open_responses
from .response_shapes import ItemsQuery, ResponseQuery


async def read_response(call: Call, id: str, query: ResponseQuery) -> Any:
    """Return a response as it is now; with `?stream=true`, its events, up to its end.

    A response whose request had `store: false` is not found once the connection of the request has ended.
    """
    found = await found_response(call, id)
    about, state = about_of(found), call.hub.state
    answer, events = answer_of(about, await records_of(state, found), query.starting_after)
    if not query.stream:
        return answer.response()
    if answer.is_over:
        headers = {**sse.HEADERS, "x-session-id": found.turn.stream}
        return Response(frames_of(events) + DONE, headers=headers, media_type="text/event-stream")
    view = SseResponse(about, after=query.starting_after)
    turn = found.turn
    return TurnStream(call, _accepted(call, found), view, {"x-session-id": turn.stream}, error_frame)


async def delete_response(call: Call, id: str) -> dict[str, Any]:
    """Delete a response. Its turn stays in the log of its session."""
    turn_id = turn_of(id)
    if open_responses(call.node).of(turn_id, call.who.subject) is not None:
        open_responses(call.node).drop(turn_id)
    else:
        try:
            await call.execute(ForgetResponse(turn_id))
        except NotFound as missing:
            raise NotFound("response", id) from missing
    return {"id": id, "object": "response", "deleted": True}


async def cancel_response(call: Call, id: str) -> dict[str, Any]:
    """Cancel a response that is not complete, and return it. One that has ended stays as it is."""
    found = await found_response(call, id)
    turn = found.turn
    await call.execute(CancelTurn(turn.stream, turn.id))
    await call.hub.answer(_accepted(call, found))
    return (await answer_to(call, found)).response()


async def list_input(call: Call, id: str, query: ItemsQuery) -> dict[str, Any]:
    """List the items of the conversation that a response answered. The contents of images and files are left
    out."""
    found = await found_response(call, id)
    conversation = await conversation_of(call.hub.state, found.turn)
    items = list(items_of(conversation.messages, turn_name(found), about_of(found).names))
    if query.order == "desc":
        items.reverse()
    begin = 0
    if query.after is not None:
        begin = place_in([item["id"] for item in items], query.after, "after") + 1
    shown = items[begin : begin + query.limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": begin + len(shown) < len(items),
    }


async def found_response(caller: Caller, id: str) -> KeptTurn:
    """Return a response of the caller.

    Raises:
        NotFound: there is none, or it is no longer found.
    """
    state, turn_id = caller.hub.state, turn_of(id)
    try:
        if (kept := open_responses(caller.node).of(turn_id, caller.who.subject)) is not None:
            return await with_turn(state, caller.who, turn_id, kept)
        return await stored_response(state, caller.who, turn_id)
    except NotFound as missing:
        raise NotFound("response", id) from missing


async def place_of(state: State, scope: Scope, names: Mapping[str, str]) -> str:
    """Return the node that finds a response: each node, if it was stored; otherwise the one at which its
    client is connected, which is the owner of its session unless its peer is a program of another node."""
    turn_id, who = turn_of(names["id"]), scope["state"]["principal"]
    is_here = open_responses(scope["state"]["node"]).of(turn_id, who.subject) is not None
    if is_here or await state.store.get(RESPONSE, turn_id) is not None:
        return state.nodes.own
    row = await state.store.get("turn", turn_id)
    return state.nodes.own if row is None else await state.nodes.owner(TurnRow.of(row).stream)


def about_of(found: KeptTurn) -> About:
    """Return what is known of a response."""
    kept = found.kept
    names = msgspec.convert(kept.shared.get("names") or {}, dict[str, ToolName])
    shown = {**kept.shared.get("shown", {}), **kept.own["shown"]}
    return About(found.turn.id, found.turn.stream, shown, names, kept.own["encrypted"])


def _accepted(call: Call, found: KeptTurn) -> Accepted:
    turn = found.turn
    return Accepted(turn.stream, turn.id, turn.peer, found.after, once=False, sender=call.who.subject)


async def answer_to(caller: Caller, found: KeptTurn) -> Answer:
    """Return a response as it is now, with the encrypted contents of its reasoning."""
    about = msgspec.structs.replace(about_of(found), encrypted=True)
    return answer_of(about, await records_of(caller.hub.state, found))[0]


def turn_name(found: KeptTurn) -> str:
    """Return what the ids of a response's items have in common."""
    return found.turn.id.removeprefix("t_")
