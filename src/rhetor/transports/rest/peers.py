"""Peers and messages to them: `/api/v2/ai`, and what `/api/v1` keeps of it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request, Response
from msgspec.structs import replace

from rhetor.auth.policy import Policy
from rhetor.dialects import resources
from rhetor.domain.command import Principal, SendMessage
from rhetor.domain.event import TurnCancelled, TurnCompleted, TurnEnd, TurnFailed
from rhetor.domain.peer import Peer
from rhetor.domain.program import ProgramStatus
from rhetor.errors import ProviderTimeout, TurnFailure
from rhetor.hub.programs.instances import instances_of, reports
from rhetor.hub.programs.status import running_turns, status_of
from rhetor.hub.sessions.send import Accepted
from rhetor.transports.rest.dependencies import Here, Key, Who
from rhetor.transports.server import disconnect, sse
from rhetor.transports.server.node import Node
from rhetor.transports.server.router import Doors, Streams

from .bodies import MessageBody

doors = Doors(tags=["peers"])


@doors.on("GET", "/api/v2/ai", Policy.USER)
async def list_peers(here: Here) -> dict[str, Any]:
    """Every peer and every team, with its status and the evidence for it."""
    peers = here.hub.state.peers
    teams = [peers.get(f"team:{name}") for name in sorted(peers.teams)]
    return {"peers": [shape(here, peer) for peer in (*peers, *teams)]}


@doors.on("GET", "/api/v2/ai/{id}", Policy.USER)
async def one_peer(id: str, here: Here) -> dict[str, Any]:
    return shape(here, here.hub.state.peers.get(id))


@doors.on("POST", "/api/v2/ai/{id}/message", Policy.USER, short=MessageBody)
@doors.on("POST", "/api/v1/ai/{id}/message", Policy.USER, short=MessageBody)
async def message(
    id: str, body: MessageBody, request: Request, who: Who, here: Here, key: Key = None
) -> Response:
    """Send, and wait for the whole answer."""
    accepted, headers = await accept(request, who, here, body.command(id, key))
    return await whole_answer(request, here, accepted, headers)


@doors.on("POST", "/api/v2/ai/{id}/stream", Policy.USER, short=MessageBody, streams=Streams.ALWAYS)
async def stream(
    id: str, body: MessageBody, request: Request, who: Who, here: Here, key: Key = None
) -> Response:
    """Send, and read the answer as it comes."""
    accepted, headers = await accept(request, who, here, body.command(id, key))
    return streamed(request, here, accepted, headers)


@doors.on("GET", "/api/v2/capabilities/{name}", Policy.USER)
async def capable(
    name: str, here: Here, threshold: Annotated[float, Query(ge=0, le=1)] = 0.5
) -> list[dict[str, Any]]:
    """Peers at or above the threshold, primary first, then by score."""
    matches = here.hub.state.peers.ranked(name, threshold)
    return [
        {
            "ai_id": m.peer.name,
            "score": m.capability.score,
            "primary": m.capability.primary,
            "origin": m.capability.origin,
        }
        for m in matches
    ]


async def accept(
    request: Request, who: Principal, here: Node, command: SendMessage
) -> tuple[Accepted, dict[str, str]]:
    """Take the message in; with the headers that say where its turn is."""
    here.check_environment(request)
    accepted: Accepted = await here.hub.execute(who, command)
    headers = {
        "x-session-id": accepted.session_id,
        "x-turn-id": accepted.turn_id,
        "x-cursor": str(accepted.after),
    }
    if accepted.match is not None:
        match = accepted.match
        headers["x-routed-to"] = f"{match.peer.name}; {match.capability.name}; {match.capability.score:g}"
    if here.hub.state.peers.get(accepted.peer).model is not None:
        headers |= await here.notices()
    return accepted, headers


def streamed(request: Request, here: Node, accepted: Accepted, headers: dict[str, str]) -> Response:
    raw = "events=raw" in request.headers.get("accept", "")
    make = sse.raw_turn_stream if raw else sse.turn_stream
    return make(here.hub, accepted, headers)


async def whole_answer(request: Request, here: Node, accepted: Accepted, headers: dict[str, str]) -> Response:
    """The answer when it is complete; a caller that goes away is not waited for. Who prefers not to wait for
    it (RFC 7240, 4.1) is told where it will be."""
    if "respond-async" in request.headers.get("prefer", ""):
        place = {"ai": accepted.peer, "session_id": accepted.session_id, "turn_id": accepted.turn_id}
        applied = {**headers, "preference-applied": "respond-async"}
        return sse.json_response({**place, "cursor": str(accepted.after)}, applied, status=202)
    presence = here.hub.state.presence
    with presence.only_for_the_end(accepted.session_id):
        async with disconnect.while_connected(request.receive):
            end, said = await here.hub.answer(accepted)
    if isinstance(end, TurnCompleted):
        content = {
            "response": end.text,
            "ai": accepted.peer,
            "session_id": accepted.session_id,
            "turn_id": accepted.turn_id,
            "usage": end.usage,
            "execution_time": end.seconds,
        }
        return sse.json_response(content, headers)
    raise failure_of(end, accepted, said)


def failure_of(end: TurnEnd, accepted: Accepted, partial: str) -> TurnFailure:
    """A turn that did not complete, as the error of who waited for it."""
    data = {"turn_id": accepted.turn_id, "session_id": accepted.session_id, "partial": partial}
    match end:
        case TurnFailed():
            failure = TurnFailure(end.detail, retryable=end.retryable, **{**end.data, **data})
            failure.code = end.code  # of what happened, which is more than the class says
            failure.status = 504 if end.code == ProviderTimeout.code else TurnFailure.status
            return failure
        case TurnCancelled():
            failure = TurnFailure(f"cancelled by {end.by}", retryable=True, **data)
        case _:
            failure = TurnFailure(getattr(end, "reason", ""), retryable=True, **data)
    failure.code = end.type.removeprefix("turn.")
    return failure


def shape(here: Node, peer: Peer) -> dict[str, Any]:
    """A peer as clients see it."""
    state = here.hub.state
    return resources.peer(
        peer.reporting(reports(state).get(peer.name, {})),
        running=running_turns(state, peer),
        stats=state.peer_statistics.of(peer.name),
        model=peer.model,
        instance_view=instance_view(here, peer) if peer.program else None,
        forward=state.routing_table.forward_of(here.owner, peer.name),
    )


def instance_view(here: Node, peer: Peer) -> resources.InstanceView:
    """A peer's program, and how it is."""
    instances = instances_of(here.hub.state, peer.name)
    return resources.InstanceView(instances[0].running.pid if instances else None, peer_status(here, peer))


def peer_status(here: Node, peer: Peer) -> ProgramStatus:
    """How a peer is; of a program that nobody has started, also whether that can be done."""
    how = status_of(here.hub.state, peer)
    if how.state == "available" and here.programs.place(peer) is None:
        return replace(how, state="missing", evidence="it is not installed")
    return how
