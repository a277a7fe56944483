"""Forwards: what a peer says is passed on, by the courier: a standing plan of one step. Arranged here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.command import Principal
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.rule_commands import PutForward, RemoveForward
from rhetor.domain.rules import Forward, circle
from rhetor.errors import NotFound, UnknownPeer, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import row_id, row_of
from rhetor.hub.core.checks import require_person

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "forward"


async def put(state: State, principal: Principal, command: PutForward) -> Forward:
    """From the next answer on, in all sessions of the caller.

    Raises:
        UnknownPeer: the source is no peer, or the destination neither a peer nor a terminal of the caller's.
        Unprocessable: both are the same.
        Forbidden: a peer's program asks.
    """
    state.require_open()
    require_person(principal)
    source = state.peers.get(command.source).name
    to = _destination(state, principal, command.to)
    if to == source:
        raise Unprocessable(f"{source} cannot be forwarded to itself", peer=source)
    forward = Forward(principal.subject, source, to, command.as_json, command.execute, state.ids.now())
    await keep(state, forward)
    return forward


async def remove(state: State, principal: Principal, command: RemoveForward) -> Forward:
    """What was said before is not passed on any more where it was not yet.

    Raises:
        NotFound: nothing of the caller's is forwarded from there.
    """
    require_person(principal)
    forward = forward_of(state, principal, command.source)
    await state.store.commit(HUB_STREAM, [], drop=[(KIND, row_id(forward))])
    state.routing_table.forwards.pop((forward.owner, forward.source), None)
    return forward


def forward_of(state: State, principal: Principal, source: str) -> Forward:
    """Raises:
    NotFound: nothing of the caller's is forwarded from there."""
    for name in (source, _name(state, source)):
        if forward := state.routing_table.forward_of(principal.subject, name):
            return forward
    raise NotFound(KIND, source)


def forwards_of(state: State, principal: Principal) -> Sequence[Forward]:
    return sorted(state.routing_table.forwards_of(principal.subject), key=lambda forward: forward.source)


def circle_of(state: State, forward: Forward) -> Sequence[str]:
    """Through whom its words come back to its source; empty where they do not."""
    to = {each.source: each.to for each in state.routing_table.forwards_of(forward.owner)}
    return circle(forward.source, to)


def terminal_peer(state: State, name: str) -> Peer | None:
    """The wrapped terminal that is called so: what is forwarded there is shown, and never typed."""
    try:
        peer = state.peers.get(name)
    except UnknownPeer:
        return None
    return peer if peer.kind is PeerKind.TERMINAL else None


async def keep(state: State, forward: Forward) -> None:
    await state.store.commit(HUB_STREAM, [], rows=[row_of(forward)])
    state.routing_table.forwards[forward.owner, forward.source] = forward


def _destination(state: State, principal: Principal, name: str) -> str:
    terminal = state.routing_table.terminals.get(name)
    if terminal is not None and terminal.owner == principal.subject:
        return name
    return state.peers.get(name).name


def _name(state: State, source: str) -> str:
    try:
        return state.peers.get(source).name
    except UnknownPeer:
        return source
