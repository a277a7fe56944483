"""Checkpoints: named positions of a session, to which it can be restored and from which it can be forked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import ForkSession, MakeCheckpoint, Principal, RestoreSession, StopSession
from rhetor.domain.event import CheckpointMade, Position, SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.errors import NotFound, PeerBusy, RhetorError, Unprocessable
from rhetor.hub.catalog.programs import memory_of, memory_row
from rhetor.hub.catalog.sessions import IMPORTED, open_session, session_row, unchanged
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.programs.lifecycle import instance_for, instance_key
from rhetor.store.base import Draft, Head, Row, parse_cursor, require_position

from .sessions import stop
from .states import open_one, owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def checkpoint(state: State, principal: Principal, command: MakeCheckpoint) -> CheckpointMade:
    """Name a position of the session: the command's cursor, or the end of the log if there is none.

    Raises:
        NotFound: the caller has no such session.
        MalformedCursor: the cursor cannot be parsed.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
    """
    session = await owned_session(state, principal, command.session_id)
    position = await _position(state, session.id, command.cursor)
    id = state.ids.new("c")
    made = CheckpointMade(id, command.name or id, f"{session.id}@{position}")
    doc = {"name": made.name, "cursor": str(position)}
    row = Row(
        "checkpoint",
        id,
        "made",
        msgspec.json.encode(doc),
        owner=session.owner,
        parent=session.id,
        at=state.ids.now(),
    )
    await state.store.commit(session.id, [Draft(made)], rows=[row])
    return made


async def checkpoints(state: State, principal: Principal, session_id: str) -> Sequence[dict[str, Any]]:
    """Return the session's checkpoints, oldest first, as `{checkpoint_id, at, name, cursor}`.

    `at` is Unix time in milliseconds.

    Raises:
        NotFound: the caller has no such session.
    """
    session = await owned_session(state, principal, session_id)
    rows = await state.store.find("checkpoint", parent=session.id)
    return [{"checkpoint_id": row.id, "at": row.at, **msgspec.json.decode(row.doc)} for row in rows]


async def restore(state: State, principal: Principal, command: RestoreSession) -> Session:
    """Reset the session to a checkpoint or cursor, in a new epoch. The old epoch keeps the later events.

    Raises:
        NotFound: the caller has no such session, or `at` is neither a checkpoint of it nor a cursor.
        SessionOver: the session was stopped or has expired.
        PeerBusy: a turn is running or waiting.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
    """

    async def attempt() -> Session:
        session = await open_one(state, principal, command.session_id)
        if runner := state.runners.get(session.id):
            raise PeerBusy(session.peer, runner.current.turn.turn_id if runner.current else "")
        position = await _resolve(state, session.id, command.at)
        id = state.ids.new("c")
        made = CheckpointMade(id, "restored", f"{session.id}@{position}")
        used = replace(session, used_at=state.ids.now())
        await state.store.commit(
            session.id,
            [Draft(made)],
            base=(session.id, position),
            expects=[unchanged(session)],
            rows=[session_row(used)],
        )
        return used

    return await until_unchanged(attempt)


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
    position = await _resolve(state, parent.id, command.at)
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
    return replace(
        session,
        started=parent.started,
        project_id=parent.project_id,
        metadata=metadata,
        tools=parent.tools,
        voice=parent.voice,
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


async def _resolve(state: State, session_id: str, at: str | None) -> Position:
    """Return the position of a checkpoint (by id or name) or of a cursor."""
    for row in await state.store.find("checkpoint", parent=session_id):
        kept = msgspec.json.decode(row.doc)
        if at is not None and at in (row.id, kept["name"]):
            return parse_cursor(kept["cursor"])
    if at is not None and Position.parse(at) is None:
        raise NotFound("checkpoint", at)
    return await _position(state, session_id, at)


async def _position(state: State, session_id: str, cursor: str | None) -> Position:
    head = await state.store.head(session_id) or Head("", 0, 1)
    if cursor is None:
        return head.position
    position = parse_cursor(cursor)
    require_position(head, position)
    return position
