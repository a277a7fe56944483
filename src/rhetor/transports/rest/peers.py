"""Peers and messages to them: `/api/v2/ai`, and the part of it that `/api/v1` still has."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.dialects.event_filter import Types, split, types_of
from rhetor.domain.command import SendMessage
from rhetor.domain.event import TurnCompleted
from rhetor.hub.programs.instances import take_unshown
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.send import Accepted
from rhetor.transports.server import disconnect, sse
from rhetor.transports.server.call import Call, Caller, json_response
from rhetor.transports.server.problems import failure_of
from rhetor.transports.views import peers as views
from rhetor.transports.views import unaddressed

from .bodies import CapableQuery, EventsQuery, MessageBody


async def list_peers(call: Caller) -> dict[str, Any]:
    """List every peer and every team, with its status and the evidence for it, and the caller's named shells
    and projects. A program whose host does not answer within a second is listed as stuck."""
    return {"peers": await views.listed(call)}


async def one_peer(call: Call, id: str) -> dict[str, Any]:
    if (found := await unaddressed.one(call, id)) is not None:
        return found
    return await views.shape(call, peers_for(call.hub.state, call.who).get(id))


async def list_models(call: Call) -> dict[str, Any]:
    """List the models that exist, with what they take and cost, and the specialists that use each; and the
    providers that did not list theirs within 1.5 seconds."""
    peers = peers_for(call.hub.state, call.who)
    return await call.node.providers.models({peer.name: peer.model for peer in peers if peer.has_voice})


async def message(call: Call, id: str, body: MessageBody) -> Response:
    """Send a message, and wait for the complete answer."""
    accepted, headers = await accept(call, body.command(id, call.key))
    return await whole_answer(call, accepted, headers, as_sent(id, accepted.peer))


async def stream(call: Call, id: str, body: MessageBody, query: EventsQuery) -> Response:
    """Send a message, and stream the answer."""
    wanted = types_of(split(query.events))
    accepted, headers = await accept(call, body.command(id, call.key))
    return streamed(call, accepted, headers, wanted, as_sent(id, accepted.peer))


async def capable(call: Caller, name: str, query: CapableQuery) -> list[dict[str, Any]]:
    """List the peers that have the capability at or above the threshold, primary first, then by score."""
    matches = peers_for(call.hub.state, call.who).ranked(name, query.threshold)
    return [
        {
            "ai_id": m.peer.name,
            "score": m.capability.score,
            "primary": m.capability.primary,
            "origin": m.capability.origin,
        }
        for m in matches
    ]


async def accept(call: Call, command: SendMessage) -> tuple[Accepted, dict[str, str]]:
    """Send the message. Return it with the headers that name its session, turn and cursor."""
    call.node.check_environment(call)
    if command.model:
        await call.node.providers.require_model(command.model)
    accepted: Accepted = await call.execute(command)
    headers = place_of(accepted)
    if accepted.match is not None:
        match = accepted.match
        headers["x-routed-to"] = f"{match.peer.name}; {match.capability.name}; {match.capability.score:g}"
    if call.hub.state.peers.get(accepted.peer).model is not None:
        headers |= await call.node.notices(call)
    return accepted, headers


def place_of(accepted: Accepted) -> dict[str, str]:
    """Return the headers that name the session, the turn and the cursor of a message."""
    return {
        "x-session-id": accepted.session_id,
        "x-turn-id": accepted.turn_id,
        "x-cursor": str(accepted.after),
    }


def as_sent(id: str, peer: str) -> str:
    """Return the id of a peer as the client wrote it; the peer's own if the client gave a capability."""
    return peer if id.startswith("@") else id


def streamed(
    call: Call,
    accepted: Accepted,
    headers: dict[str, str],
    wanted: Types | None,
    ai: str | None = None,
) -> Response:
    if "events=raw" in call.headers.get("accept", ""):
        return sse.raw_turn_stream(call.hub, accepted, headers, wanted)
    return sse.turn_stream(call.hub, accepted, headers, ai or accepted.peer, wanted)


async def whole_answer(
    call: Call, accepted: Accepted, headers: dict[str, str], ai: str | None = None
) -> Response:
    """Return the answer when it is complete. If the client prefers not to wait, return the cursor of the
    answer at once. `ai`: the peer as the client wrote it.

    Raises:
        CallerGone: the client disconnected.
        TurnFailure: the turn did not complete.
    """
    if call.prefers_not_to_wait:
        place = {"ai": ai or accepted.peer, "session_id": accepted.session_id, "turn_id": accepted.turn_id}
        applied = {**headers, "preference-applied": "respond-async"}
        if unshown := accepted.unshown or take_unshown(call.hub.state, accepted.session_id, accepted.after):
            applied["x-unasked-after"] = str(unshown)
        return json_response({**place, "cursor": str(accepted.after)}, applied, status=202)
    waiting = call.hub.state.presence.waiting_for_end(accepted.session_id)
    with waiting, disconnect.while_connected(call.scope):
        end, said = await call.hub.answer(accepted)
    if isinstance(end, TurnCompleted):
        content = {
            "response": end.text,
            "finish_reason": end.finish_reason,
            "ai": ai or accepted.peer,
            "session_id": accepted.session_id,
            "turn_id": accepted.turn_id,
            "usage": end.usage,
            "execution_time": end.seconds,
        }
        return json_response(content, headers)
    raise failure_of(end, accepted, said)
