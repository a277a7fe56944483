"""Looking at a program's terminal, and typing into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.command import Principal
from rhetor.drivers.base import Viewer as Viewer
from rhetor.errors import NotRunning

from .programs import require_person
from .seats import seats_of

if TYPE_CHECKING:
    from .state import State


async def view(state: State, principal: Principal, name: str, *, writes: bool) -> Viewer:
    """Raises:
    UnknownPeer, NotRunning, NoTerminal: there is nothing to look at.
    Forbidden: a peer's program wants to type."""
    if writes:
        require_person(principal)
    peer = state.peers.get(name)
    seats = seats_of(state, peer.name)
    if not seats:
        raise NotRunning(peer.name)
    return await seats[0].running.view(sender=principal.subject, writes=writes)
