"""The files of a restore: what is kept before it, how they change, and what a person changed meanwhile."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.snapshot import Snapshot
from rhetor.hub.catalog.checkpoints import CheckpointRow, KeptFiles
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.core.progress import counter
from rhetor.store.files.base import DamagedObject, Journal, Obstructed, RestoreUndone

from .checkpoint_limits import of_session
from .checkpoints import Place, make
from .session_files import cannot, taken, unreadable

if TYPE_CHECKING:
    from rhetor.hub.state import State


class Note(Struct, frozen=True):
    """What the journal of a restore keeps for the next hub. `cursor`: the position of the checkpoint, which a
    limit may have removed since."""

    session_id: str
    owner: str
    checkpoint: str
    cursor: str = ""


async def snapshot_of(state: State, files: KeptFiles) -> Snapshot:
    """Return a snapshot of the folder as it is, with all paths of the checkpoint."""
    try:
        wanted = await asyncio.to_thread(lambda: state.files().paths(bytes.fromhex(files.root)))
    except DamagedObject as error:
        raise unreadable(state, error) from error
    return await taken(state, Path(files.folder), wanted)


async def kept_before(
    state: State, principal: Principal, session: Session, files: KeptFiles, now: Snapshot
) -> CheckpointRow | None:
    """Keep the files as a checkpoint, unless one of the session has them already."""
    known = await of_session(state, session.id)
    if any(c.files is not None and c.files.root == now.root.hex() for c in known):
        return None
    kept = KeptFiles.of(files.folder, now)
    return await make(state, principal, session.id, "before a restore", files=kept, automatic=True)


async def restore_files(
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
        await settle(state, Principal(session.owner), session.id, error.journal)
        raise cannot("the files cannot be restored, and are as they were", error) from error
    except (Obstructed, DamagedObject, OSError) as error:
        raise cannot("the files cannot be restored", error) from error


async def settle(
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
