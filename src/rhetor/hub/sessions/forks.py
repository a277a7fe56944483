"""Forks: new sessions that continue from a position of another one, also with its files in a new folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.command import ForkSession, StopSession
from rhetor.domain.event import CheckpointMade, SessionStateChanged
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.errors import PeerBusy, RhetorError
from rhetor.hub.catalog.checkpoints import CheckpointRow
from rhetor.hub.catalog.sessions import CWD, IMPORTED, open_session, session_row
from rhetor.store.base import Draft

from .agent_memory import (
    Outcome,
    Recall,
    agent_of,
    begin,
    heard_after,
    memory_rows,
    outcome,
    recall_copy,
    remembered,
)
from .checkpoints import Place, place_of
from .forked_files import ForkedFiles, discard, write_files
from .sessions import stop
from .states import owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


class Forked(Struct, frozen=True):
    """A new session. `files`: those in its new folder; None if it has none of its own. `agent`: what its
    agent knows."""

    session: Session
    files: ForkedFiles | None = None
    agent: Outcome = Outcome()


async def fork(state: State, principal: Principal, command: ForkSession) -> Forked:
    """Open a session with the history of this one up to a checkpoint or cursor. The parent does not change.

    Raises:
        NotFound: the caller has no such session, or `at` is neither a checkpoint of it nor a cursor.
        UnknownPeer: the session's peer is no longer configured.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        NameTaken: another session has the name.
        ForkUnsupported: the peer is a program that is no coding agent.
        PeerBusy: the peer is a program, and a turn of the session is running or waiting.
        Forbidden, FilesMissing, FolderTaken, FolderForbidden, NoRepository, Unprocessable: the files cannot
            be written into a new folder.
        NotRunning, ProgramMissing, ProgramRefused, TurnFailure: the copy's program cannot be started; its
            session was stopped.
    """
    parent = await owned_session(state, principal, command.session_id)
    peer = state.peers.get(parent.peer)
    place = await place_of(state, parent, command.at)
    recalled = await _recalled(state, peer, parent, place)
    session = _copy(state, principal, parent, command.name)
    files = await write_files(state, principal, parent, session, place, command)
    if files is not None:
        session = replace(session, folder=files.folder, metadata={**session.metadata, CWD: files.folder})
    heard = heard_after(parent, place.heard, recalled)
    session = replace(session, retold=agent_of(state, session) is not None, heard=heard)
    try:
        session = await _commit(state, parent, peer, session, place, recalled, files)
        if recalled is not None:
            recalled = await _begun(state, principal, peer, session, recalled)
    except RhetorError:
        await discard(state, files)
        raise
    return Forked(session, files, await outcome(state, session, recalled))


def _copy(state: State, principal: Principal, parent: Session, name: str | None) -> Session:
    session = open_session(
        state.ids,
        principal.subject,
        parent.peer,
        # a session for a single message keeps no conversation, but its copy does
        context_window=state.limits.context_window if parent.once else parent.context_window,
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
        folder=parent.folder,
        given=parent.given,
    )


async def _recalled(state: State, peer: Peer, parent: Session, place: Place) -> Recall | None:
    """Return how the copy's program continues; None if the peer has no program."""
    if peer.program is None:
        return None
    if place.is_end and (runner := state.runners.get(parent.id)):
        raise PeerBusy(peer.name, runner.current.turn.turn_id if runner.current else "")
    left = await remembered(state, parent) if place.is_end else place.memory
    return await recall_copy(state, peer, parent, left, at_end=place.is_end)


async def _commit(
    state: State,
    parent: Session,
    peer: Peer,
    session: Session,
    place: Place,
    recalled: Recall | None,
    files: ForkedFiles | None,
) -> Session:
    made = CheckpointMade(state.ids.new("c"), "forked", f"{parent.id}@{place.position}")
    rows = [] if recalled is None else memory_rows(state, peer, session, recalled)
    if files is not None:
        session = replace(session, checkpoint=made.checkpoint_id)
    drafts = [Draft(SessionStateChanged(session.state)), Draft(made)]
    base = (parent.id, place.position)
    done = await state.store.commit(session.id, drafts, base=base, rows=[session_row(session), *rows])
    if files is not None:
        first = CheckpointRow(
            id=made.checkpoint_id,
            session_id=session.id,
            owner=session.owner,
            name=made.name,
            cursor=f"{done.epoch}:{done.last}",
            at=state.ids.now(),
            automatic=True,
            files=files.kept,
            memory=None if recalled is None else recalled.memory,
        )
        await state.store.commit(session.id, [], rows=[first.row()])
    return session


async def _begun(
    state: State, principal: Principal, peer: Peer, session: Session, recalled: Recall
) -> Recall:
    """Start the copy's program now, so that later messages of the parent are not part of the copy."""
    try:
        return await begin(state, peer, session, recalled)
    except RhetorError:
        await stop(state, principal, StopSession(session.id))
        raise
