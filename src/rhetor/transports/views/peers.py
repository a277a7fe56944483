"""Peers as a caller sees them: their status with the evidence, and what they do now for the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rhetor.dialects import resources
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.program import ProgramStatus
from rhetor.domain.timestamps import timestamp
from rhetor.hub.programs.instances import reports
from rhetor.hub.programs.now import (
    is_running,
    own_programs,
    pauses_of,
    running_turns,
    turns_now,
    waiting_turns,
)
from rhetor.hub.programs.ownership import is_own, peers_for
from rhetor.hub.programs.status import look_at_hosts, status_of, visible_to
from rhetor.hub.sessions import sessions
from rhetor.hub.state import State
from rhetor.transports.server.call import Viewer
from rhetor.transports.server.node import Node

from . import unaddressed

NameOf = Callable[[str], str | None]


class Own(Struct, frozen=True):
    """What is the caller's own: how many sessions have not ended, by peer, and its turns now, by peer."""

    counts: Mapping[str, int]
    now: Mapping[str, Sequence[dict[str, Any]]]


async def listed(call: Viewer) -> list[dict[str, Any]]:
    """Return every peer and every team, with its status and the evidence for it, the caller's named shells
    and projects, and the machines that have joined. A program whose host does not answer within a second is
    listed as stuck."""
    await look_at_hosts(call.hub.state, list(call.hub.state.instances.values()))
    own = await own_of(call)
    found = [await shape(call, peer, own) for peer in seen(call)]
    return [*found, *await unaddressed.listed(call)]


def seen(call: Viewer) -> list[Peer]:
    """Return the peers and the teams that the caller can see."""
    peers = peers_for(call.hub.state, call.who)
    return [*peers, *(peers.get(f"team:{name}") for name in sorted(peers.teams))]


async def own_of(call: Viewer) -> Own:
    """Return what is the caller's own among the peers."""
    state = call.hub.state
    counts = await sessions.counted(state, call.who)
    names: dict[str, str | None] = {}
    for id in {stream for stream, *_ in _own_turns(call)}:
        row = await state.store.get("session", id)
        names[id] = row.name if row else None
    return Own(counts, own_turns(call, names.get))


def own_turns(call: Viewer, name_of: NameOf) -> dict[str, list[dict[str, Any]]]:
    """Return the caller's turns that run or wait, by peer, the oldest first. `name_of`: returns the name of a
    session."""
    found: dict[str, list[dict[str, Any]]] = {}
    for stream, peer, turn_id, since, state, doing in _own_turns(call):
        is_session = stream.startswith("s_")
        turn = {
            "session_id": stream if is_session else None,
            "session_name": name_of(stream) if is_session else None,
            "plan_id": None if is_session else stream,
            "turn_id": turn_id,
            "since": timestamp(since),
            "state": state,
            "doing": doing,
        }
        found.setdefault(peer, []).append(turn)
    return found


_Own = tuple[str, str, str, int, str, str | None]


def _own_turns(call: Viewer) -> Iterator[_Own]:
    """Yield the stream, the peer, the id, the beginning, the state and the activity of the caller's turns."""
    state = call.hub.state
    for turn in turns_now(state, lambda owner: is_own(state, call.who, owner)):
        yield turn.stream, turn.peer, turn.turn_id, turn.since, turn.state, turn.doing
    for row in state.live.queued:
        if not is_running(state, row.id) and is_own(state, call.who, row.owner):
            yield row.stream, row.peer, row.id, row.at, "queued", None


async def shape(call: Viewer, peer: Peer, own: Own | None = None) -> dict[str, Any]:
    """Return a peer as the caller sees it."""
    node, who, state = call.node, call.who, call.hub.state
    own = own or await own_of(call)
    is_tool = peer.kind is PeerKind.TOOL
    return resources.peer(
        peer.reporting(reports(state).get(peer.name, {})),
        running=running_turns(state, peer),
        sessions=await sessions.of_tool(state, who, peer) if is_tool else own.counts.get(peer.name, 0),
        stats=state.peer_statistics.of(peer.name),
        model=model_of(call, peer),
        instance_view=instance_view(node, who, peer) if _has_status(state, peer) else None,
        forward=state.routing_table.forward_of(who.subject, peer.name),
        address=node.address,
        now=own.now.get(peer.name, ()),
    )


def _has_status(state: State, peer: Peer) -> bool:
    """Return whether the status of a peer is more than the number of its turns."""
    return bool(peer.program or pauses_of(state, peer) or waiting_turns(state, peer))


def model_of(call: Viewer, peer: Peer) -> str | None:
    """Return the reference of a specialist's model, or the model that the caller's agent has reported."""
    own = own_programs(call.hub.state, call.who, peer.name)
    reported = own[0].details.get("model") if own else None
    return peer.model or (str(reported) if reported else None)


def instance_view(node: Node, who: Principal, peer: Peer) -> resources.InstanceView:
    """Return the process id and the status of a peer's program, as the caller sees them."""
    own = own_programs(node.hub.state, who, peer.name)
    status = visible_to(node.hub.state, who, peer, peer_status(node, peer))
    return resources.InstanceView((own[0].pid or None) if own else None, status)


def peer_status(node: Node, peer: Peer) -> ProgramStatus:
    """Return the status of a peer. If its program was not started and is not installed, it is `missing`."""
    how = status_of(node.hub.state, peer)
    if how.state == "available" and node.programs.has(peer) and node.programs.place(peer) is None:
        return replace(how, state="missing", evidence="it is not installed")
    return how
