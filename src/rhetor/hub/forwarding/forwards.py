"""Forwards: standing rules by which the answers of one peer go to another peer or a terminal.

This module changes the rules; `relay` carries them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.project import PROJECT
from rhetor.domain.rule_commands import PutForward, RemoveForward
from rhetor.domain.rules import Forward, circle
from rhetor.errors import NotFound, UnknownPeer, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.routing_table import row_id, row_of
from rhetor.hub.core.checks import require_person
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.projects import owned_project

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "forward"


async def put(state: State, principal: Principal, command: PutForward) -> Forward:
    """Forward the peer's answers in all sessions of the caller, from the next answer on. If the source is
    `project:<name>`, forward the answers of all peers in the sessions of that project.

    A forward replaces an earlier one of the same source.

    Raises:
        NotFound: the caller has no such project.
        UnknownPeer: the source is not a peer, or the destination is neither a peer nor the caller's terminal.
        Unprocessable: source and destination are the same.
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    source = await _source(state, principal, command.source)
    to = _destination(state, principal, command.to)
    if to == source:
        raise Unprocessable(f"{source} cannot be forwarded to itself", peer=source)
    forward = Forward(principal.subject, source, to, command.as_json, command.execute, state.ids.now())
    await keep(state, forward)
    return forward


async def remove(state: State, principal: Principal, command: RemoveForward) -> Forward:
    """Stop forwarding the peer's answers, including earlier ones that were not delivered yet.

    Raises:
        NotFound: the caller has no forward from this peer.
        Forbidden: the caller is a peer's program.
        StoreRefused: nothing was changed; the command may be sent again.
    """
    require_person(principal)
    forward = forward_of(state, principal, command.source)
    await state.store.commit(HUB_STREAM, [], drop=[(KIND, row_id(forward))])
    state.routing_table.forwards.pop((forward.owner, forward.source), None)
    return forward


def forward_of(state: State, principal: Principal, source: str) -> Forward:
    """Return the caller's forward from this peer, which may no longer be configured.

    Raises:
        NotFound: the caller has no forward from this peer.
    """
    for name in (source, _name(state, source)):
        if forward := state.routing_table.forward_of(principal.subject, name):
            return forward
    raise NotFound(KIND, source)


def forwards_of(state: State, principal: Principal) -> Sequence[Forward]:
    return sorted(state.routing_table.forwards_of(principal.subject), key=lambda forward: forward.source)


def circle_of(state: State, forward: Forward) -> Sequence[str]:
    """Return the peers through which answers come back to the forward's source; empty if they do not."""
    to = {each.source: each.to for each in state.routing_table.forwards_of(forward.owner)}
    return circle(forward.source, to)


def terminal_peer(state: State, name: str) -> Peer | None:
    """Return the peer of this name if it is a wrapped terminal, where answers are shown but never typed."""
    try:
        peer = state.peers.get(name)
    except UnknownPeer:
        return None
    return peer if peer.kind is PeerKind.TERMINAL else None


async def keep(state: State, forward: Forward) -> None:
    await state.store.commit(HUB_STREAM, [], rows=[row_of(forward)])
    state.routing_table.forwards[forward.owner, forward.source] = forward


async def _source(state: State, principal: Principal, name: str) -> str:
    if name.startswith(PROJECT):
        return (await owned_project(state, principal, name.removeprefix(PROJECT))).id
    return peers_for(state, principal).get(name).name


def _destination(state: State, principal: Principal, name: str) -> str:
    terminal = state.routing_table.terminals.get(name)
    if terminal is not None and terminal.owner == principal.subject:
        return name
    return peers_for(state, principal).get(name).name


def _name(state: State, source: str) -> str:
    try:
        return state.peers.get(source).name
    except UnknownPeer:
        return source
