"""Looking at a program's terminal, and typing into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rhetor.domain.command import Principal
from rhetor.domain.event import Event, MessageForwarded, Position
from rhetor.drivers.base import Viewer as Viewer
from rhetor.errors import NotRunning
from rhetor.hub.core.checks import require_person
from rhetor.store.base import check_position, follow

from .instances import instances_of

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def shown_beside(
    state: State, principal: Principal, name: str, after: Position | None = None
) -> AsyncIterator[Event]:
    """What is forwarded to a program's terminal, from now on or behind `after`, for the program's owner. It
    is shown beside what the program shows, and never typed. Nothing for anybody else."""
    instance = next(iter(instances_of(state, state.peers.get(name).name)), None)
    head = await state.store.head(instance.entry.session_id) if instance else None
    if instance is None or head is None or instance.entry.owner != principal.subject:
        return
    if after is None or check_position(head, after) != "ok":
        after = Position(head.epoch, head.head)
    async for records in follow(state.store, instance.entry.session_id, after):
        for record in records:
            if record.type == MessageForwarded.type:
                yield record.event


async def view(state: State, principal: Principal, name: str, *, writes: bool) -> Viewer:
    """Raises:
    UnknownPeer, NotRunning, NoTerminal: there is nothing to look at.
    Forbidden: a peer's program wants to type."""
    if writes:
        require_person(principal)
    peer = state.peers.get(name)
    instances = instances_of(state, peer.name)
    if not instances:
        raise NotRunning(peer.name)
    return await instances[0].running.view(sender=principal.subject, writes=writes)
