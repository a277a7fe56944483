"""Restores a session to a checkpoint: its log, the files of its folder, and the memory of its agent.

The files come first. Until the log has the restore, it can be undone; if the hub ends meanwhile, the next one
finishes it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.command import Principal, RestoreSession
from rhetor.domain.event import CheckpointMade
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session
from rhetor.domain.snapshot import Change, Snapshot
from rhetor.errors import NotFound, PeerBusy, RhetorError
from rhetor.hub.catalog.checkpoints import CheckpointRow, KeptFiles
from rhetor.hub.catalog.sessions import session_row, unchanged
from rhetor.hub.core.commits import until_accepted, until_unchanged
from rhetor.hub.core.progress import counter
from rhetor.hub.programs.lifecycle import instance_key
from rhetor.store.base import Draft, parse_cursor
from rhetor.store.files.base import DamagedObject, Journal, Obstructed, RestoreUndone

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
from .checkpoint_limits import of_session
from .checkpoints import MessageChanges, Place, make, message_changes, place_of, position_at
from .session_files import cannot, differences, taken
from .states import open_one, owned_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


class Note(Struct, frozen=True):
    """What the journal of a restore keeps for the next hub. `cursor`: the position of the checkpoint, which a
    limit may have removed since."""

    session_id: str
    owner: str
    checkpoint: str
    cursor: str = ""


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
    now = await _before(state, files)
    changed = await differences(state, now.root.hex(), files.root)
    return Restored(session, changed=changed, messages=messages)


async def restore(state: State, principal: Principal, command: RestoreSession) -> Restored:
    """Reset the session to a checkpoint or cursor, in a new epoch. The old epoch keeps the later events.

    If the checkpoint has files, the session's folder becomes as it was. Files that changed since are kept as
    a checkpoint first. A coding agent's memory goes back if the agent can do that; otherwise it begins a new
    conversation, and is told the earlier one.

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
    agent = await _recalled(state, session, place)
    if place.files is None:
        done = Restored(await _commit(state, principal, session.id, place, agent))
    else:
        done = await _with_files(state, principal, session, place, place.files, agent)
    return replace(done, messages=messages, agent=await _begun(state, done.session, agent))


async def _with_files(
    state: State,
    principal: Principal,
    session: Session,
    place: Place,
    files: KeptFiles,
    agent: Recalled | None,
) -> Restored:
    async with state.exclusively(f"folder {files.folder}"):
        with state.files().holding(bytes.fromhex(files.root)):
            return await _in_folder(state, principal, session, place, files, agent)


async def _in_folder(
    state: State,
    principal: Principal,
    session: Session,
    place: Place,
    files: KeptFiles,
    agent: Recalled | None,
) -> Restored:
    now = await _before(state, files)
    changed = await differences(state, now.root.hex(), files.root)
    kept = await _kept_before(state, principal, session, files, now)
    journal = await _restore_files(state, session, place, files, now)
    try:
        restored = await _commit(state, principal, session.id, place, agent, journal.number)
    except RhetorError:
        undone = await asyncio.to_thread(lambda: state.files().finish(journal, undo=True))
        await _settle(state, principal, session.id, undone)
        raise
    saved = await _settle(state, principal, session.id, journal)
    return Restored(restored, kept, saved, changed)


async def _messages(state: State, session: Session, place: Place) -> MessageChanges:
    now = session.id, await position_at(state, session.id, None)
    return await message_changes(state, now, (session.id, place.position))


async def _idle(state: State, principal: Principal, session_id: str) -> Session:
    session = await open_one(state, principal, session_id)
    if runner := state.runners.get(session.id):
        raise PeerBusy(session.peer, runner.current.turn.turn_id if runner.current else "")
    return session


async def _before(state: State, files: KeptFiles) -> Snapshot:
    """Return a snapshot of the folder as it is, with all paths of the checkpoint."""
    try:
        wanted = await asyncio.to_thread(lambda: state.files().paths(bytes.fromhex(files.root)))
    except DamagedObject as error:
        raise cannot("the files of the checkpoint cannot be read", error) from error
    return await taken(state, Path(files.folder), wanted)


async def _kept_before(
    state: State, principal: Principal, session: Session, files: KeptFiles, now: Snapshot
) -> CheckpointRow | None:
    """Keep the files as a checkpoint, unless one of the session has them already."""
    known = await of_session(state, session.id)
    if any(c.files is not None and c.files.root == now.root.hex() for c in known):
        return None
    kept = KeptFiles.of(files.folder, now)
    return await make(state, principal, session.id, "before a restore", files=kept, automatic=True)


async def _restore_files(
    state: State, session: Session, place: Place, files: KeptFiles, now: Snapshot
) -> Journal:
    checkpoint = place.checkpoint.id if place.checkpoint else ""
    note = msgspec.json.encode(Note(session.id, session.owner, checkpoint, str(place.position)))
    folder, root = Path(files.folder), bytes.fromhex(files.root)
    try:
        progress = counter("files")
        return await asyncio.to_thread(
            lambda: state.files().restore(folder, root, now.root, note, progress=progress)
        )
    except RestoreUndone as error:
        await _settle(state, Principal(session.owner), session.id, error.journal)
        raise cannot("the files cannot be restored, and are as they were", error) from error
    except (Obstructed, DamagedObject, OSError) as error:
        raise cannot("the files cannot be restored", error) from error


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
        return await _begin_epoch(state, session, place, agent, number)

    return await until_unchanged(attempt)


async def _begin_epoch(
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


async def _recalled(state: State, session: Session, place: Place) -> Recalled | None:
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


async def _settle(
    state: State, principal: Principal, session_id: str, journal: Journal
) -> CheckpointRow | None:
    """Keep what changed during the restore as a checkpoint, and forget its journal."""
    saved = None
    if journal.saved is not None:
        folder = os.fsdecode(journal.folder)
        root = journal.saved
        found = await asyncio.to_thread(lambda: state.files().paths(root))
        kept = KeptFiles(folder=folder, root=root.hex(), files=len(found), bytes=0)

        async def keep() -> CheckpointRow:
            return await make(
                state, principal, session_id, "changed during a restore", files=kept, automatic=True
            )

        saved = await until_accepted(keep, session_id)
    await asyncio.to_thread(lambda: state.files().settle(journal))
    return saved


async def finish_restores(state: State) -> None:
    """Finish the restores of files that an earlier hub did not, and commit them. One that fails is logged and
    tried again by the next hub."""
    for journal in state.files.unfinished():
        try:
            note = msgspec.json.decode(journal.note, type=Note)
            await _finish(state, note, journal)
        except (RhetorError, DamagedObject, Obstructed, OSError, msgspec.DecodeError) as error:
            folder = os.fsdecode(journal.folder)
            log.error("a restore cannot be finished", extra={"folder": folder, "reason": str(error)})


async def _finish(state: State, note: Note, journal: Journal) -> None:
    finished = await asyncio.to_thread(lambda: state.files().finish(journal))
    owner = Principal(note.owner)
    session = await owned_session(state, owner, note.session_id)
    if session.takes_messages and session.restore != journal.number and not finished.undone:
        place = await _noted_place(state, session, note)
        agent = await _recalled(state, session, place)
        await _begin_epoch(state, session, place, agent, journal.number)
    await _settle(state, owner, session.id, finished)
    done = "a restore of files was undone" if finished.undone else "a restore of files was finished"
    log.warning(done, extra={"folder": os.fsdecode(journal.folder)})


async def _noted_place(state: State, session: Session, note: Note) -> Place:
    try:
        return await place_of(state, session, note.checkpoint)
    except NotFound:
        if not note.cursor:  # of an older hub
            raise
        return Place(parse_cursor(note.cursor), None)
