"""Sessions: start, find, list, save, pause, resume, interrupt, stop and expire them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import (
    AbandonTurn,
    InterruptSession,
    PauseSession,
    Principal,
    ResumeSession,
    SaveSession,
    StartSession,
    StopSession,
)
from rhetor.domain.event import SessionStateChanged, TurnCancelled
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session, SessionState
from rhetor.domain.tool import check_tools
from rhetor.domain.turn import TurnState
from rhetor.errors import (
    Malformed,
    NotFound,
    SessionOver,
    StateConflict,
    StoreRefused,
    UnknownPeer,
    UnknownTeam,
)
from rhetor.hub.catalog.sessions import ANSWERED, CWD, OPEN, open_session, session_of, session_row, unchanged
from rhetor.hub.catalog.turns import waiting_turns
from rhetor.hub.core.commits import command_key, until_unchanged
from rhetor.hub.programs.lifecycle import instance_key, make_standing
from rhetor.hub.turns.answers import shown_state
from rhetor.hub.turns.runner import wake
from rhetor.store.base import Draft, Expect, Row

from .projects import in_project, project_of

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)
_OF_TOOL = 100  # sessions that are shown with a tool
_SHOWN = tuple(SessionState)
# the states of the rows in which the sessions of a state are: a row does not say whether a session waits
_ROW_STATES = {state: (state,) for state in SessionState} | {
    SessionState.WAITING: (SessionState.ACTIVE,),
    SessionState.EXPIRED: (SessionState.EXPIRED, ANSWERED),
}


async def owned_session(state: State, principal: Principal, session_id: str) -> Session:
    """Return the caller's session with this id or name. If its `ttl` has passed, it is returned as expired,
    and its expiry is committed in the background: reading a session never waits for a write.

    Raises:
        NotFound: the caller has no such session.
    """
    row = await state.store.get("session", session_id)
    if row is None or row.owner != principal.subject:
        named = await state.store.find("session", owner=principal.subject, name=session_id)
        if not named:
            raise NotFound("session", session_id)
        row = named[0]
    session = session_of(row)
    if not _is_past_ttl(state, session):
        return session
    state.background.start(_expire(state, session), f"expire {session.id}")
    return session.become(SessionState.EXPIRED)


async def start(state: State, principal: Principal, command: StartSession) -> Session:
    """Open a session with a peer. When this returns, the session is durable.

    Raises:
        UnknownPeer, NoCapablePeer: there is no such peer.
        Malformed: `context_window` is negative or `ttl` is not positive.
        Unprocessable: the client's tools are invalid.
        NameTaken: another session of the caller has the name.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was opened; the command may be sent again.
    """
    state.require_open()
    project = await project_of(state, principal, command)
    fallback = project.settings.default_peer if project is not None else None
    peer, _ = state.peers.resolve(command.peer or fallback or state.limits.default_peer)
    default = state.limits.context_window
    window = default if command.context_window is None else command.context_window
    if window < 0 or (command.ttl is not None and not command.ttl > 0):
        raise Malformed("context_window must be at least 0, and ttl greater than 0 seconds")
    check_tools(command.tools)
    session = open_session(
        state.ids,
        principal.subject,
        peer.name,
        context_window=window,
        name=command.name,
        ttl=command.ttl if command.ttl is not None or command.name else state.limits.session_ttl,
    )
    cwd = {CWD: command.cwd} if peer.program and principal.local and command.cwd else {}
    session = replace(
        session,
        project_id=command.project_id,
        metadata=command.metadata | cwd,
        tools=command.tools,
        voice=command.voice,
        detach_ttl=state.limits.detach_ttl if command.attended else None,
    )
    if project is not None:
        session = in_project(project, peer, session)
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
    session_state: SessionState | None = None,
    project: str | None = None,
    name: str | None = None,
    limit: int = 1000,
) -> Sequence[Session]:
    """Return the caller's last `limit` sessions, most recently used first.

    `peer`, `session_state`, `project`, `name`: only sessions with these values. Sessions that were opened for
    one message and have ended are included only if `session_state` is `expired`. A session that has ended is
    not found by `name`, because another one may have the name now.
    """
    states = _ROW_STATES[session_state] if session_state else _SHOWN
    size = limit
    while True:
        rows = await state.store.find(
            "session",
            owner=principal.subject,
            parent=peer,
            state=states,
            name=name,
            limit=size,
            newest=True,
        )
        sessions = [session_of(row) for row in reversed(rows)]
        wanted = [
            session
            for session in sessions
            if (project is None or session.project_id == project)
            and (session_state is None or shown_state(state, session) is session_state)
        ]
        if len(wanted) >= limit or len(rows) < size:
            return wanted[:limit]
        size *= 4


async def counted(state: State, principal: Principal) -> dict[str, int]:
    """Return how many of the caller's sessions have not ended, by peer."""
    return await state.store.counts("session", state=OPEN, owner=principal.subject)


async def of_tool(state: State, principal: Principal, tool: Peer) -> Sequence[Session]:
    """Return the caller's last 100 sessions with a tool, those that have ended included."""
    return await listed(state, principal, peer=tool.name, limit=_OF_TOOL)


async def pause(state: State, principal: Principal, command: PauseSession) -> Session:
    """Start no further turns of the session until it is resumed. A running turn continues.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """
    return await _change(state, principal, command.session_id, SessionState.PAUSED)


async def resume(state: State, principal: Principal, command: ResumeSession) -> Session:
    """Run the waiting turns of a paused session. If `standing` is set, the session also becomes the caller's
    default session with the peer.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """
    session = await _change(state, principal, command.session_id, SessionState.ACTIVE)
    if command.standing:
        await make_standing(state, session, command.cwd if principal.local else None)
    if await waiting_turns(state.store, session.id, limit=1):
        wake(state, session.id)
    return session


async def save(state: State, principal: Principal, command: SaveSession) -> Session:
    """Keep the session until it is stopped: it no longer expires. If the command has a name, rename it.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
        NameTaken: another session of the caller has the name.
    """

    async def attempt() -> Session:
        session = await open_one(state, principal, command.session_id)
        name = command.name or session.name
        kept = replace(session, name=name, ttl=None, once=False, used_at=state.ids.now())
        await state.store.commit(session.id, [], expects=[unchanged(session)], rows=[session_row(kept)])
        return kept

    return await until_unchanged(attempt)


async def interrupt(state: State, principal: Principal, command: InterruptSession) -> Session:
    """End the running turn of the session, if there is one. The next waiting turn then starts.

    Raises:
        NotFound: the caller has no such session.
    """
    session = await owned_session(state, principal, command.session_id)
    runner = state.runners.get(session.id)
    if runner is not None and runner.current is not None:
        runner.current.stop(lambda turn: turn.interrupt(f"interrupted by {principal.subject}"))
    return session


async def abandon(state: State, principal: Principal, command: AbandonTurn) -> str | None:
    """End a turn for which nobody waits any more: cancel it if it has not started, and interrupt it if it is
    running. A wrapped program is not interrupted. Return its name if it continues the turn.

    Raises:
        NotFound: the caller has no such session.
    """

    async def attempt() -> str | None:
        session = await owned_session(state, principal, command.session_id)
        waiting = await waiting_turns(state.store, session.id)
        for turn in waiting:
            if turn.id == command.turn_id:
                cancelled = Draft(TurnCancelled(principal.subject), turn.id)
                row = turn.become(TurnState.CANCELLED).row()
                await state.store.commit(session.id, [cancelled], rows=[row], expects=[turn.unchanged])
                return None
        return _leave_running(state, principal, session, command.turn_id)

    return await until_unchanged(attempt)


def _leave_running(state: State, principal: Principal, session: Session, turn_id: str) -> str | None:
    runner = state.runners.get(session.id)
    if runner is None or runner.current is None or runner.current.turn.turn_id != turn_id:
        return None
    if continues_alone(state, session.peer):
        return session.peer
    runner.current.stop(lambda turn: turn.interrupt(f"interrupted by {principal.subject}"))
    return None


def continues_alone(state: State, peer: str) -> bool:
    """Return whether the peer is a wrapped program, which no end of waiting interrupts."""
    try:
        return state.peers.get(peer).outlives_waiting
    except (UnknownPeer, UnknownTeam):
        return False


async def stop(state: State, principal: Principal, command: StopSession) -> Session:
    """End the session: cancel its running and waiting turns. A session that has ended stays as it is.

    Raises:
        NotFound: the caller has no such session.
        StoreRefused: the session was not stopped; the command may be sent again.
    """
    by = principal.subject

    async def attempt() -> tuple[Session, bool]:
        session = await owned_session(state, principal, command.session_id)
        if not session.takes_messages:
            return session, False
        waiting = await waiting_turns(state.store, session.id)
        drafts = [Draft(TurnCancelled(by), turn.id) for turn in waiting]
        rows = [turn.become(TurnState.CANCELLED).row() for turn in waiting]
        still_waiting = [turn.unchanged for turn in waiting]
        return await _become(state, session, SessionState.STOPPED, drafts, rows, still_waiting), True

    stopped, is_new = await until_unchanged(attempt)
    runner = state.runners.get(stopped.id) if is_new else None
    if runner is not None and runner.current is not None:
        runner.current.stop(lambda turn: turn.cancel(by))
    return stopped


async def expire_old(state: State) -> int:
    """Expire the sessions that have not been used for their `ttl`, and return how many expired.

    If a session cannot be expired now, the failure is logged, and the next sweep retries.
    """
    expired = 0
    for row in await state.store.find("session", state=SessionState.ACTIVE, limit=10_000):
        session = session_of(row)
        if _is_past_ttl(state, session):
            expired += await _expire(state, session)
    return expired


def _is_past_ttl(state: State, session: Session) -> bool:
    return session.has_expired(state.ids.since) and session.id not in state.runners


async def _expire(state: State, session: Session) -> bool:
    """Commit the expiry of the session, unless it has been used since it was read. Return whether it was
    committed."""
    try:
        await _become(state, session, SessionState.EXPIRED)
    except (StateConflict, StoreRefused) as error:
        log.warning("session expiry failed", extra={"session": session.id, "reason": error.detail})
        return False
    return True


async def _change(state: State, principal: Principal, session_id: str, wanted: SessionState) -> Session:
    async def attempt() -> Session:
        return await _become(state, await open_one(state, principal, session_id), wanted)

    return await until_unchanged(attempt)


async def open_one(state: State, principal: Principal, session_id: str) -> Session:
    """Return the caller's session with this id or name, if it accepts messages.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """
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
    expects: Sequence[Expect] = (),
) -> Session:
    if session.state is wanted:
        return session
    changed = session.become(wanted)
    await state.store.commit(
        session.id,
        [*drafts, Draft(SessionStateChanged(wanted))],
        expects=[unchanged(session), *expects],
        rows=[*rows, session_row(changed)],
    )
    if not changed.takes_messages:
        _end_program(state, changed)
    return changed


def _end_program(state: State, session: Session) -> None:
    """End the program that runs only for this session, if there is one."""
    for instance in list(state.instances.values()):
        peer = instance.peer
        if instance.entry.key == instance_key(state, peer, session.id) != peer.name:
            state.background.start(instance.running.end(force=True), f"end {peer.name}")
