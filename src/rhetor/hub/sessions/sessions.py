"""Sessions: start, list, pause, resume, save and stop them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import PauseSession, ResumeSession, SaveSession, StartSession, StopSession
from rhetor.domain.event import SessionStateChanged, TurnCancelled
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session, SessionState
from rhetor.domain.tool import check_tools
from rhetor.domain.turn import TurnState
from rhetor.errors import Malformed, OnOtherMachine, Unprocessable
from rhetor.hub.catalog.sessions import ANSWERED, CWD, OPEN, open_session, session_of, session_row, unchanged
from rhetor.hub.catalog.turns import waiting_turns
from rhetor.hub.core.commits import command_key, until_unchanged
from rhetor.hub.programs.lifecycle import make_standing
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.turns.answers import shown_state
from rhetor.hub.turns.runner import wake
from rhetor.store.base import Draft

from .projects import in_project, project_of
from .states import become, change, open_one, owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


_OF_TOOL = 100  # sessions that are shown with a tool
_SHOWN = tuple(SessionState)
# the states of the rows in which the sessions of a state are: a row does not say whether a session waits, or
# whether its peer is gone
_ROW_STATES = {state: (state,) for state in SessionState} | {
    SessionState.WAITING: (SessionState.ACTIVE,),
    SessionState.STOPPED: (SessionState.STOPPED, *OPEN),  # the peer of an open one may be gone
    SessionState.EXPIRED: (SessionState.EXPIRED, ANSWERED),
}


async def start(state: State, principal: Principal, command: StartSession) -> Session:
    """Open a session with a peer. When this returns, the session is durable.

    Raises:
        UnknownPeer, NoCapablePeer: there is no such peer.
        Malformed: `context_window` is negative or `ttl` is not positive.
        Unprocessable: the client's tools are invalid, or a caller on another machine chooses a folder.
        NameTaken: another session of the caller has the name.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was opened; the command may be sent again.
    """
    state.require_open()
    project = await project_of(state, principal, command)
    fallback = project.settings.default_peer if project is not None else None
    peer, _ = peers_for(state, principal).resolve(command.peer or fallback or state.limits.default_peer)
    default = state.limits.context_window
    window = default if command.context_window is None else command.context_window
    if window < 0 or (command.ttl is not None and not command.ttl > 0):
        raise Malformed("context_window must be at least 0, and ttl greater than 0 seconds")
    check_tools(command.tools)
    if CWD in command.metadata and not principal.local:
        raise Unprocessable("metadata.cwd: only callers on the hub's Unix socket may choose a folder")
    session = open_session(
        state.ids,
        principal.subject,
        peer.name,
        context_window=window,
        name=command.name,
        ttl=command.ttl if command.ttl is not None or command.name else state.limits.session_ttl,
    )
    if peer.machine and CWD in command.metadata:
        raise OnOtherMachine(
            f"{peer.name} runs on {peer.machine}, where only the folders of its projects can be used",
            machine=peer.machine,
            hint=f"set project_id to NAME@{peer.machine}",
        )
    here = peer.program and principal.local and not peer.machine
    cwd = {CWD: command.cwd} if here and command.cwd else {}
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
    states: Collection[SessionState] = (),
    project: str | None = None,
    name: str | None = None,
    limit: int = 1000,
) -> Sequence[Session]:
    """Return the caller's last `limit` sessions, most recently used first, with those that are shared with
    the caller; `project` and `name` find only the caller's own.

    `peer`, `project`, `name`: only sessions with these values. `states`: only those in one of these states.
    Sessions that were opened for one message and have ended are included only if that is `expired`. A session
    that has ended is not found by `name`, because another one may have the name now.
    """
    row_states = sorted({each for state in states for each in _ROW_STATES[state]}) if states else _SHOWN
    size = limit
    while True:
        rows = await state.store.find(
            "session",
            owner=principal.subject,
            parent=peer,
            state=row_states,
            name=name,
            limit=size,
            newest=True,
        )
        sessions = [session_of(row) for row in reversed(rows)]
        wanted = [
            session
            for session in sessions
            if (project is None or session.project_id == project)
            and (not states or shown_state(state, session) in states)
        ]
        if len(wanted) >= limit or len(rows) < size:
            break
        size *= 4
    if project is None and name is None:
        wanted += await _shared(state, principal, peer, row_states, states)
        wanted.sort(key=lambda session: -session.used_at)
    return wanted[:limit]


async def _shared(
    state: State,
    principal: Principal,
    peer: str | None,
    row_states: Collection[str],
    states: Collection[SessionState],
) -> list[Session]:
    """Return the sessions of other owners that are shared with the caller."""
    found: list[Session] = []
    for share in state.shares.with_subject(principal.subject):
        row = await state.store.get("session", share.session_id)
        if row is None or row.state not in row_states or peer not in (None, row.parent):
            continue
        session = session_of(row)
        if not states or shown_state(state, session) in states:
            found.append(session)
    return found


async def counted(state: State, principal: Principal) -> dict[str, int]:
    """Return how many of the caller's sessions have not ended, by peer."""
    return await state.store.counts("session", state=OPEN, owner=principal.subject)


async def of_tool(state: State, principal: Principal, tool: Peer) -> Sequence[Session]:
    """Return the caller's last 100 sessions with a tool, those that have ended included."""
    if not await state.store.has("session", parent=tool.name, state=_SHOWN):  # like most tools in a list
        return ()
    return await listed(state, principal, peer=tool.name, limit=_OF_TOOL)


async def pause(state: State, principal: Principal, command: PauseSession) -> Session:
    """Start no further turns of the session until it is resumed. A running turn continues.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """
    return await change(state, principal, command.session_id, SessionState.PAUSED)


async def resume(state: State, principal: Principal, command: ResumeSession) -> Session:
    """Run the waiting turns of a paused session. If `standing` is set, the session also becomes the caller's
    default session with the peer.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """
    session = await change(state, principal, command.session_id, SessionState.ACTIVE)
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
        return await become(state, session, SessionState.STOPPED, drafts, rows, still_waiting), True

    stopped, is_new = await until_unchanged(attempt)
    runner = state.runners.get(stopped.id) if is_new else None
    if runner is not None and runner.current is not None:
        runner.current.stop(lambda turn: turn.cancel(by))
    return stopped
