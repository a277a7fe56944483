"""Attaching to a program's terminal: viewing it, typing into it, and the messages forwarded to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rhetor.domain.event import Event, MessageForwarded, Position
from rhetor.domain.principal import APPROVE, READ, SEND, Principal
from rhetor.drivers.base import Viewer as Viewer
from rhetor.errors import NotRunning
from rhetor.hub.core.checks import require_person
from rhetor.store.base import check_position, follow

from .lifecycle import is_configured
from .ownership import own_instances, peers_for

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def forwarded_messages(
    state: State, principal: Principal, name: str, after: Position | None = None
) -> AsyncIterator[Event]:
    """Yield the messages that are forwarded to a program's terminal, without end.

    The messages after the position `after` are yielded; without `after`, or if it is no longer valid, only
    new ones. They are shown beside the program's screen and never typed into it. Only the program's owner
    receives any: for another caller, or if the program is not running, the iterator ends at once.

    Raises:
        UnknownPeer: there is no peer of this name.
    """
    own = own_instances(state, principal, peers_for(state, principal).get(name).name)
    instance = own[0] if own else None
    head = await state.store.head(instance.entry.session_id) if instance else None
    if instance is None or head is None:
        return
    if after is None or check_position(head, after) != "ok":
        after = Position(head.epoch, head.head)
    async for records in follow(state.store, instance.entry.session_id, after):
        for record in records:
            if record.type == MessageForwarded.type:
                yield record.event


async def view(state: State, principal: Principal, name: str, *, writes: bool, api: str = "") -> Viewer:
    """Open a view of a program's terminal. `writes`: the viewer may also type, and so answer what a coding
    agent asks there; the audit has an entry for that, with the `api`.

    Raises:
        UnknownPeer: there is no peer of this name.
        NotRunning: no program of the peer is running for the caller.
        NoTerminal: the program does not run in a terminal.
        Forbidden: the caller is a program, or lacks a scope: `read`, and `send` and `approve` for `writes`.
    """
    require_person(principal)
    for scope in (READ, SEND, APPROVE) if writes else (READ,):
        principal.require(scope)
    if not writes:
        return await _view(state, principal, name, writes=False)
    async with state.audit.action(principal, "program.attach", name, api=api):
        return await _view(state, principal, name, writes=True)


async def _view(state: State, principal: Principal, name: str, *, writes: bool) -> Viewer:
    peer = peers_for(state, principal).get(name)
    state.machines.require_online(peer)
    instances = own_instances(state, principal, peer.name)
    if not instances:
        raise NotRunning(peer.name, is_configured=is_configured(state, peer.name))
    return await instances[0].running.view(sender=principal.subject, writes=writes)
