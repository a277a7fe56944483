"""Stops sessions of any node because of something else than a command about the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.command import StopSession
from rhetor.domain.node_commands import EndSession
from rhetor.domain.principal import Principal
from rhetor.hub.core.nodes import at_home

from .sessions import stop

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def end_session(state: State, principal: Principal, session_id: str) -> None:
    """Stop the caller's session, at whichever node it is.

    Raises:
        NotFound: the caller has no such session.
        NodeLost: its node was lost; it may not be stopped.
        StoreRefused: it was not stopped.
    """
    command = EndSession(session_id)
    await at_home(
        state.nodes,
        lambda: state.nodes.owner(session_id),
        lambda: ended_here(state, principal, command),
        lambda node: state.nodes.execute(node, principal, command),
    )


async def ended_here(state: State, principal: Principal, command: EndSession) -> None:
    """Stop a session of this node.

    Raises:
        NotFound, StoreRefused: as `end_session`.
    """
    await stop(state, principal, StopSession(command.session_id))
