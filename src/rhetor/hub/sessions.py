"""Conversations: opened, found, held up, ended, and gone back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.domain.command import (
    ForkSession,
    InterruptSession,
    MakeCheckpoint,
    PauseSession,
    Principal,
    RestoreSession,
    ResumeSession,
    StartSession,
    StopSession,
)
from rhetor.domain.event import CheckpointMade, Position, SessionStateChanged, TurnCancelled
from rhetor.domain.session import Session, SessionState
from rhetor.domain.tool import check_tools
from rhetor.domain.turn import TurnState
from rhetor.errors import Malformed, NotFound, PeerBusy, SessionOver
from rhetor.store.base import Draft, Expect, Head, Row, parse_cursor, require_position

from .keys import command_key
from .opening import open_session
from .rows import session_of, session_row
from .runner import waiting_turns, wake

if TYPE_CHECKING:
    from .state import State


async def owned_session(state: State, principal: Principal, session_id: str) -> Session:
    """The caller's session of that id; one whose time is over is expired by this look.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    row = await state.store.get("session", session_id)
    if row is None or row.owner != principal.subject:
        raise NotFound("session", session_id)
    session = session_of(row)
    if session.has_expired(state.ids.now()) and session.id not in state.lanes:
        session = await _become(state, session, SessionState.EXPIRED)
    return session


async def start(state: State, principal: Principal, command: StartSession) -> Session:
    """Raises:
    UnknownPeer, NameTaken, KeyReused, Unprocessable, StoreRefused: as they say; nothing was opened."""
    state.require_open()
    peer, _ = state.peers.resolve(command.peer or state.limits.default_peer)
    if command.context_window < 0 or (command.ttl is not None and not command.ttl > 0):
        raise Malformed("context_window is at least 0 and ttl more than 0 seconds")
    check_tools(command.tools)
    session = open_session(
        state,
        principal,
        peer.name,
        context_window=command.context_window,
        name=command.name,
        ttl=command.ttl,
    )
    session = replace(
        session,
        project_id=command.project_id,
        metadata=command.metadata,
        tools=command.tools,
        voice=command.voice,
        detach_ttl=state.limits.detach_ttl if command.attended else None,
    )
    key = command_key(principal, command, session.id)
    drafts = [Draft(SessionStateChanged(session.state))]
    committed = await state.store.commit(session.id, drafts, key=key, rows=[session_row(session)])
    if committed.replayed:
        return await owned_session(state, principal, msgspec.json.decode(committed.result))
    return session


async def listed(
    state: State,
    principal: Principal,
    *,
    peer: str | None = None,
    session_state: str | None = None,
    project: str | None = None,
    limit: int = 1000,
) -> Sequence[Session]:
    """The caller's sessions, the one used last first; those opened for one message only when asked for by
    their state."""
    rows = await state.store.find(
        "session", owner=principal.subject, parent=peer, state=session_state, limit=limit
    )
    sessions = [session_of(row) for row in rows]
    shown = [s for s in sessions if session_state or not (s.once and not s.takes_messages)]
    return [s for s in reversed(shown) if project is None or s.project_id == project]


async def pause(state: State, principal: Principal, command: PauseSession) -> Session:
    session = await _open_one(state, principal, command.session_id)
    return await _become(state, session, SessionState.PAUSED)


async def resume(state: State, principal: Principal, command: ResumeSession) -> Session:
    session = await _become(state, await _open_one(state, principal, command.session_id), SessionState.ACTIVE)
    if await waiting_turns(state, session.id):
        wake(state, session.id)
    return session


async def interrupt(state: State, principal: Principal, command: InterruptSession) -> Session:
    session = await owned_session(state, principal, command.session_id)
    lane = state.lanes.get(session.id)
    if lane is not None and lane.current is not None:
        lane.current.stop(lambda turn: turn.interrupt(f"interrupted by {principal.subject}"))
    return session


async def stop(state: State, principal: Principal, command: StopSession) -> Session:
    session = await owned_session(state, principal, command.session_id)
    if not session.takes_messages:
        return session
    by = principal.subject
    waiting = await waiting_turns(state, session.id)
    drafts = [Draft(TurnCancelled(by), turn.id) for turn in waiting]
    rows = [turn.become(TurnState.CANCELLED).row() for turn in waiting]
    stopped = await _become(state, session, SessionState.STOPPED, drafts, rows)
    lane = state.lanes.get(session.id)
    if lane is not None and lane.current is not None:
        lane.current.stop(lambda turn: turn.cancel(by))
    return stopped


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
    session = await _open_one(state, principal, command.session_id)
    if lane := state.lanes.get(session.id):
        raise PeerBusy(session.peer, lane.current.turn.turn_id if lane.current else "")
    position = await _place(state, session.id, command.at)
    id = state.ids.new("c")
    made = CheckpointMade(id, "restored", f"{session.id}@{position}")
    used = session.used(state.ids.now())
    await state.store.commit(
        session.id,
        [Draft(made)],
        base=(session.id, position),
        expect=Expect("session", session.id, frozenset({session.state})),
        rows=[session_row(used)],
    )
    return used


async def fork(state: State, principal: Principal, command: ForkSession) -> Session:
    """A session of its own that remembers what this one had said until there."""
    parent = await owned_session(state, principal, command.session_id)
    position = await _place(state, parent.id, command.at)
    session = open_session(
        state, principal, parent.peer, context_window=parent.context_window, name=command.name
    )
    session = replace(session, project_id=parent.project_id, metadata=parent.metadata, tools=parent.tools)
    made = CheckpointMade(state.ids.new("c"), "forked", f"{parent.id}@{position}")
    drafts = [Draft(SessionStateChanged(session.state)), Draft(made)]
    await state.store.commit(session.id, drafts, base=(parent.id, position), rows=[session_row(session)])
    return session


async def expire_old(state: State) -> int:
    """Expire the sessions whose time is over; how many there were."""
    now, expired = state.ids.now(), 0
    for row in await state.store.find("session", state=SessionState.ACTIVE, limit=10_000):
        session = session_of(row)
        if session.has_expired(now) and session.id not in state.lanes:
            await _become(state, session, SessionState.EXPIRED)
            expired += 1
    return expired


async def _open_one(state: State, principal: Principal, session_id: str) -> Session:
    session = await owned_session(state, principal, session_id)
    if not session.takes_messages:
        raise SessionOver(session.id, session.state)
    return session


async def _become(
    state: State,
    session: Session,
    wanted: SessionState,
    drafts: Sequence[Draft] = (),
    rows: Sequence[Row] = (),
) -> Session:
    if session.state is wanted:
        return session
    changed = session.become(wanted)
    await state.store.commit(
        session.id,
        [*drafts, Draft(SessionStateChanged(wanted))],
        expect=Expect("session", session.id, frozenset({session.state})),
        rows=[*rows, session_row(changed)],
    )
    return changed


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
