"""Forks: new sessions that continue from a position of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from rhetor.domain.command import ForkSession, Principal, StopSession
from rhetor.domain.event import CheckpointMade, Position, SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.errors import PeerBusy, RhetorError, Unprocessable
from rhetor.hub.catalog.programs import memory_of, memory_row
from rhetor.hub.catalog.sessions import IMPORTED, open_session, session_row
from rhetor.hub.programs.lifecycle import instance_for, instance_key
from rhetor.store.base import Draft

from .checkpoints import place_of
from .sessions import stop
from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def fork(state: State, principal: Principal, command: ForkSession) -> Session:
    """Open a session with the history of this one up to a checkpoint or cursor. The parent does not change.

    Raises:
        NotFound: the caller has no such session, or `at` is neither a checkpoint of it nor a cursor.
        UnknownPeer: the session's peer is no longer configured.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        NameTaken: another session has the name.
        ForkUnsupported: the peer's program cannot continue a copy of a conversation.
        PeerBusy: the peer is a program, and a turn of the session is running or waiting.
        Unprocessable: the peer is a program, whose conversation can be forked only at its end, and `at` is an
            earlier position.
        NotRunning, ProgramMissing, ProgramRefused, TurnFailure: the copy's program cannot be started; its
            session was stopped.
    """
    parent = await owned_session(state, principal, command.session_id)
    peer = state.peers.get(parent.peer)
    position = (await place_of(state, parent, command.at)).position
    memory = await _copied_memory(state, peer, parent, position)
    session = _copy(state, principal, parent, command.name)
    made = CheckpointMade(state.ids.new("c"), "forked", f"{parent.id}@{position}")
    drafts = [Draft(SessionStateChanged(session.state)), Draft(made)]
    rows = [session_row(session)]
    if memory:
        rows.append(memory_row(instance_key(state, peer, session.id), memory, state.ids.now()))
    await state.store.commit(session.id, drafts, base=(parent.id, position), rows=rows)
    if memory:
        await _begin_copy(state, principal, peer, session)
    return session


def _copy(state: State, principal: Principal, parent: Session, name: str | None) -> Session:
    session = open_session(
        state.ids,
        principal.subject,
        parent.peer,
        context_window=parent.context_window,
        name=name,
        ttl=parent.ttl,
    )
    metadata = {key: value for key, value in parent.metadata.items() if key != IMPORTED}
    heard = {name: turn for name, turn in parent.heard.items() if name == parent.peer}
    return replace(
        session,
        started=parent.started,
        project_id=parent.project_id,
        metadata=metadata,
        tools=parent.tools,
        voice=parent.voice,
        heard=heard,
    )


async def _copied_memory(state: State, peer: Peer, parent: Session, position: Position) -> dict[str, Any]:
    """Return the memory with which the copy's program starts; empty if the peer has no program."""
    if peer.program is None:
        return {}
    if runner := state.runners.get(parent.id):
        raise PeerBusy(peer.name, runner.current.turn.turn_id if runner.current else "")
    memory = await memory_of(state.store, instance_key(state, peer, parent.id))
    copied = state.program_drivers[peer.driver].memory_of_copy(peer, memory)
    head = await state.store.head(parent.id)
    if head is not None and position != head.position:
        raise Unprocessable(
            f"{peer.name} can be forked only at the end of its session; omit `at`", peer=peer.name
        )
    return copied


async def _begin_copy(state: State, principal: Principal, peer: Peer, session: Session) -> None:
    """Start the copy's program now, so that later messages of the parent are not part of the copy."""
    try:
        instance = await instance_for(state, peer, principal.subject, session.id)
        await instance.running.wait_until_copied()
    except RhetorError:
        await stop(state, principal, StopSession(session.id))
        raise
