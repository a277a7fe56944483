"""Sends messages to sessions of any node: those of clients, and those that follow from accepted ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.command import SendMessage
from rhetor.domain.event import Cause
from rhetor.domain.node_commands import DeliverMessage
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.errors import RhetorError
from rhetor.hub.catalog.sessions import runs_at_caller, standing_id
from rhetor.hub.core.nodes import at_home
from rhetor.hub.programs.ownership import peers_for

from .send import Accepted, RowRef, opens_session, send

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def deliver(
    state: State,
    principal: Principal,
    command: SendMessage,
    *,
    cause: Cause,
    fulfils: RowRef | None = None,
    counts: bool = True,
    is_scheduled: bool = False,
) -> Accepted:
    """Send a message that follows from an accepted one, as `send` does, at the node of its session or peer.

    Raises:
        NodeLost: that node was lost before it answered.
        RhetorError: as `send`.
    """
    delivery = DeliverMessage(command, cause, fulfils, counts, is_scheduled)
    if not state.nodes.own:
        return await delivered_here(state, principal, delivery)
    return await at_home(
        state.nodes,
        lambda: home_of_message(state, principal, command),
        lambda: delivered_here(state, principal, delivery),
        lambda node: state.nodes.execute(node, principal, delivery),
    )


async def delivered_here(state: State, principal: Principal, delivery: DeliverMessage) -> Accepted:
    """Send a message that follows from an accepted one.

    Raises:
        RhetorError: as `send`.
    """
    return await send(
        state,
        principal,
        delivery.message,
        delivery.fulfils,
        delivery.cause,
        counts=delivery.counts,
        is_scheduled=delivery.is_scheduled,
    )


async def home_of_message(state: State, principal: Principal, command: SendMessage) -> str:
    """Return the node that sends a message: the owner of its session, or the node of its peer."""
    if command.session_id is not None:
        return await home_of_session(state, principal, command.session_id)
    if not command.target or command.given:  # where a given conversation continues is found by the sender
        return state.nodes.own
    try:
        peer, _ = peers_for(state, principal).resolve(command.target)
    except RhetorError:  # this node rejects it
        return state.nodes.own
    if opens_session(command, peer):
        return state.nodes.of_peer(peer.name)
    return await home_of_default_session(state, principal, peer, command.cwd)


async def home_of_session(state: State, principal: Principal, session_id: str) -> str:
    """Return the node of a session of the caller, by its id or its name; this node if there is none."""
    node = await state.nodes.owner_if_any(session_id)
    if node is not None:
        return node
    named = await state.store.find("session", owner=principal.subject, name=session_id, limit=1)
    return await state.nodes.owner(named[0].id) if named else state.nodes.own


async def home_of_default_session(
    state: State, principal: Principal, peer: Peer, cwd: str | None = None
) -> str:
    """Return the node of the caller's default session with a program: of the program if it runs at one node
    only, else of the session, which begins here if there is none yet."""
    node = state.nodes.of_peer(peer.name)
    if node != state.nodes.own:
        return node
    at_caller = runs_at_caller(peer) and principal.local and not peer.machine
    link = await state.store.get("standing", standing_id(principal.subject, peer, cwd if at_caller else None))
    return node if link is None else await state.nodes.owner(link.parent)
