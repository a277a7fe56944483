"""Places in a conversation: named, gone back to, and gone on from as another conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import ForkSession, MakeCheckpoint, Principal, RestoreSession, StopSession
from rhetor.domain.event import CheckpointMade, Position, SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.errors import PeerBusy, RhetorError, Unprocessable
from rhetor.hub.catalog.programs import memory_of, memory_row
from rhetor.hub.catalog.sessions import IMPORTED, open_session, session_row, unchanged
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.programs.lifecycle import instance_for, instance_key
from rhetor.store.base import Draft, Head, Row, parse_cursor, require_position

from .sessions import open_one, owned_session, stop

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def checkpoint(state: State, principal: Principal, command: MakeCheckpoint) -> CheckpointMade:
    """Raises:
    NotFound, PositionLost, MalformedCursor: as they say."""
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
    session = await owned_session(state, principal, session_id)
    rows = await state.store.find("checkpoint", parent=session.id)
    return [{"checkpoint_id": row.id, "at": row.at, **msgspec.json.decode(row.doc)} for row in rows]


async def restore(state: State, principal: Principal, command: RestoreSession) -> Session:
    """The session as it was at a checkpoint or cursor, in a new epoch; what came later is kept in the old.

    Raises:
        PeerBusy: a turn runs or waits.
    """

    async def attempt() -> Session:
        session = await open_one(state, principal, command.session_id)
        if runner := state.runners.get(session.id):
            raise PeerBusy(session.peer, runner.current.turn.turn_id if runner.current else "")
        position = await _place(state, session.id, command.at)
        id = state.ids.new("c")
        made = CheckpointMade(id, "restored", f"{session.id}@{position}")
        used = session.used(state.ids.now())
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
    """A session of its own that remembers what this one had said until there; the parent is not touched.

    Raises:
        ForkUnsupported: the peer's program cannot go on with a copy of a conversation.
        PeerBusy: such a program is in a turn, which would be copied half.
        Unprocessable: such a program was to be copied as it was earlier.
    """
    parent = await owned_session(state, principal, command.session_id)
    peer = state.peers.get(parent.peer)
    position = await _place(state, parent.id, command.at)
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
        session, project_id=parent.project_id, metadata=metadata, tools=parent.tools, voice=parent.voice
    )


async def _copied_memory(state: State, peer: Peer, parent: Session, position: Position) -> dict[str, Any]:
    """What the program of the copy begins with; empty where there is none, or nothing to go on with."""
    if peer.program is None:
        return {}
    if runner := state.runners.get(parent.id):
        raise PeerBusy(peer.name, runner.current.turn.turn_id if runner.current else "")
    memory = await memory_of(state.store, instance_key(state, peer, parent.id))
    copied = state.program_drivers[peer.driver].memory_of_copy(peer, memory)
    head = await state.store.head(parent.id)
    if head is not None and position != Position(head.epoch, head.head):
        raise Unprocessable(f"{peer.name} is copied as it is now, not as it was earlier", peer=peer.name)
    return copied


async def _begin_copy(state: State, principal: Principal, peer: Peer, session: Session) -> None:
    """The program begins now: what its parent says from now on is not to be part of the copy."""
    try:
        instance = await instance_for(state, peer, principal.subject, session.id)
        await instance.running.wait_until_copied()
    except RhetorError:
        await stop(state, principal, StopSession(session.id))
        raise


async def _place(state: State, session_id: str, at: str | None) -> Position:
    """The position of a checkpoint's id or name, or of a cursor."""
    for row in await state.store.find("checkpoint", parent=session_id):
        kept = msgspec.json.decode(row.doc)
        if at is not None and at in (row.id, kept["name"]):
            return parse_cursor(kept["cursor"])
    return await _position(state, session_id, at)


async def _position(state: State, session_id: str, cursor: str | None) -> Position:
    head = await state.store.head(session_id) or Head("", 0, 1)
    if cursor is None:
        return Position(head.epoch, head.head)
    position = parse_cursor(cursor)
    require_position(head, position)
    return position
