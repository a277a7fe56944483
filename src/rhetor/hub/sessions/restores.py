"""Restores a session to a checkpoint: its log, the files of its folder, and the memory of its agent.

The files come first. Until the log has the restore, it can be undone; if the hub ends meanwhile, the next one
finishes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.command import RestoreSession
from rhetor.domain.event import CheckpointMade
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.snapshot import Change
from rhetor.errors import PeerBusy, RhetorError
from rhetor.hub.catalog.checkpoints import CheckpointRow, KeptFiles
from rhetor.hub.catalog.sessions import session_row, unchanged
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.programs.lifecycle import instance_key
from rhetor.store.base import Draft

from .agent_memory import (
    Outcome,
    Recall,
    agent_of,
    begin,
    end_program,
    forget_guests,
    heard_after,
    memory_rows,
    outcome,
    recall,
    remembered,
)
from .checkpoints import MessageChanges, Place, message_changes, place_of, position_at
from .restored_files import kept_before, restore_files, settle, snapshot_of
from .session_files import differences
from .states import open_one, owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


class Restored(Struct, frozen=True):
    """A restored session.

    `before`: the checkpoint with the files as they were. `saved`: the checkpoint with files that changed
    during the restore. `changed`: the files that are different now. `messages`: how the conversation is.
    `agent`: what the session's agent knows.
    """

    session: Session
    before: CheckpointRow | None = None
    saved: CheckpointRow | None = None
    changed: Sequence[Change] = ()
    messages: MessageChanges = MessageChanges()
    agent: Outcome = Outcome()


async def preview(state: State, principal: Principal, session_id: str, at: str) -> Restored:
    """Return the session as it is, and how a restore would change its files and its conversation.

    Raises:
        NotFound, PositionLost, Unprocessable: as `restore`.
    """
    session = await owned_session(state, principal, session_id)
    place = await place_of(state, session, at)
    files, messages = place.files, await _messages(state, session, place)
    if files is None:
        return Restored(session, messages=messages)
    now = await snapshot_of(state, files)
    changed = await differences(state, now.root.hex(), files.root)
    return Restored(session, changed=changed, messages=messages)


async def restore(state: State, principal: Principal, command: RestoreSession) -> Restored:
    """Reset the session to a checkpoint or cursor, in a new epoch. The old epoch keeps the later events.

    If the checkpoint has files, they are restored. Files that changed since are kept as a checkpoint first. A
    coding agent rewinds its own memory if it can; otherwise it begins a new conversation, and receives the
    earlier one with the next message.

    Raises:
        NotFound: the caller has no such session, or `at` is neither a checkpoint of it nor a cursor.
        SessionOver: the session was stopped or has expired.
        PeerBusy: a turn is running or waiting.
        PositionLost: the cursor is not a position of the session's log, or is no longer kept.
        Unprocessable: the files cannot be restored; they are as they were.
    """
    session = await _idle(state, principal, command.session_id)
    place = await place_of(state, session, command.at)
    messages = await _messages(state, session, place)
    agent = await recalled_agent(state, session, place)
    if place.files is None:
        done = Restored(await _commit(state, principal, session.id, place, agent))
    else:
        async with _alone_in(state, place.files):
            done = await _with_files(state, principal, session, place, place.files, agent)
    return replace(done, messages=messages, agent=await _begun(state, done.session, agent))


@asynccontextmanager
async def _alone_in(state: State, files: KeptFiles) -> AsyncIterator[None]:
    """Let nothing else restore the folder, and keep the files of the checkpoint meanwhile."""
    async with state.exclusively(f"folder {files.folder}"):
        with state.files().holding(bytes.fromhex(files.root)):
            yield


async def _with_files(
    state: State,
    principal: Principal,
    session: Session,
    place: Place,
    files: KeptFiles,
    agent: Recalled | None,
) -> Restored:
    now = await snapshot_of(state, files)
    changed = await differences(state, now.root.hex(), files.root)
    kept = await kept_before(state, principal, session, files, now)
    journal = await restore_files(state, session, place, files, now)
    try:
        restored = await _commit(state, principal, session.id, place, agent, journal.number)
    except RhetorError:
        undone = await asyncio.to_thread(lambda: state.files().finish(journal, undo=True))
        await settle(state, principal, session.id, undone)
        raise
    saved = await settle(state, principal, session.id, journal)
    return Restored(restored, kept, saved, changed)


async def _messages(state: State, session: Session, place: Place) -> MessageChanges:
    now = session.id, await position_at(state, session.id, None)
    return await message_changes(state, now, (session.id, place.position))


async def _idle(state: State, principal: Principal, session_id: str) -> Session:
    session = await open_one(state, principal, session_id)
    if runner := state.runners.get(session.id):
        raise PeerBusy(session.peer, runner.current.turn.turn_id if runner.current else "")
    return session


async def _commit(
    state: State,
    principal: Principal,
    session_id: str,
    place: Place,
    agent: Recalled | None,
    number: str = "",
) -> Session:
    """Begin a new epoch of the session's log at the place."""

    async def attempt() -> Session:
        session = await _idle(state, principal, session_id)
        if agent is not None and session.used_at != agent.used_at:  # it had a message meanwhile
            raise PeerBusy(session.peer, "")
        return await begin_epoch(state, session, place, agent, number)

    return await until_unchanged(attempt)


async def begin_epoch(
    state: State, session: Session, place: Place, agent: Recalled | None, number: str
) -> Session:
    made = CheckpointMade(state.ids.new("c"), "restored", f"{session.id}@{place.position}")
    current = place.checkpoint.id if place.checkpoint else None
    used = replace(
        session,
        used_at=state.ids.now(),
        checkpoint=current,
        restore=number or None,
        retold=agent is not None,
        heard=heard_after(session, place.heard, agent.recall if agent else None),
    )
    rows, drop = [session_row(used)], await forget_guests(state, session)
    if agent is not None:
        drop.append(("memory", instance_key(state, agent.peer, session.id)))
        rows += memory_rows(state, agent.peer, session, agent.recall)
    await state.store.commit(
        session.id,
        [Draft(made)],
        base=(session.id, place.position),
        expects=[unchanged(session)],
        rows=rows,
        drop=drop,
    )
    return used


class Recalled(Struct, frozen=True):
    """A session's agent, and how it goes back. `used_at`: when the session had its last message."""

    peer: Peer
    recall: Recall
    used_at: int


async def recalled_agent(state: State, session: Session, place: Place) -> Recalled | None:
    """Return how the session's agent goes back; None if it has none. End its program, unless it can continue
    as it is."""
    peer = agent_of(state, session)
    if peer is None:
        return None
    left = await remembered(state, session) if place.is_end else place.memory
    found = await recall(state, peer, session, left)
    if not found.stays:
        await end_program(state, peer, session)
    return Recalled(peer, found, session.used_at)


async def _begun(state: State, session: Session, agent: Recalled | None) -> Outcome:
    """Let the agent continue its rewound conversation now, so that the caller knows whether it can."""
    if agent is None:
        return Outcome()
    try:
        return await outcome(state, session, await begin(state, agent.peer, session, agent.recall))
    except RhetorError as error:  # its program cannot be started: it goes back before the next message
        log.warning("an agent was not started", extra={"session": session.id, "reason": error.detail})
        return await outcome(state, session, agent.recall)
