"""The files of a session: of its project, or of the folder in which its coding agent works."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.machine import folder_on
from rhetor.domain.project import Project
from rhetor.domain.session import Session
from rhetor.domain.snapshot import Change, Snapshot
from rhetor.errors import RhetorError, Unprocessable
from rhetor.hub.catalog.checkpoints import KeptFiles
from rhetor.hub.catalog.sessions import CWD
from rhetor.hub.core.progress import counter
from rhetor.store.files.base import DamagedObject, Obstructed

from .agent_memory import agent_of
from .machine_projects import machine_project

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def folder_of(state: State, session: Session) -> Path | None:
    """Return the folder whose files belong to the session; None if it has none.

    It is the folder that a fork made for it, that of the session's project, or the folder in which its coding
    agent works. The home folder and the root of the file system are nobody's project.
    """
    if session.folder is not None:
        return Path(session.folder)
    folder = await _project_folder(state, session) or _agent_folder(state, session)
    return folder if folder not in (None, Path.home(), Path("/")) else None


async def _project_folder(state: State, session: Session) -> Path | None:
    if session.project_id and (there := machine_project(state, session.project_id)) is not None:
        return Path(folder_on(there.machine, there.path))
    row = await state.store.get("project", session.project_id) if session.project_id else None
    if row is None or row.owner != session.owner:
        return None
    return Path(msgspec.json.decode(row.doc, type=Project).path)


def _agent_folder(state: State, session: Session) -> Path | None:
    peer = agent_of(state, session)
    if peer is None or peer.machine:  # of another machine, only the folders of its projects are kept
        return None
    try:
        return Path(state.launches(peer, session.metadata.get(CWD)).cwd)
    except RhetorError:  # the agent's program is not installed any more
        given = session.metadata.get(CWD)
        return Path(given) if given else None


async def kept_files(state: State, folder: Path | None, include: Collection[bytes] = ()) -> KeptFiles | None:
    """Store the files of a session's folder; None if there is no folder.

    Raises:
        Unprocessable: the folder cannot be read.
    """
    if folder is None:
        return None
    return KeptFiles.of(str(folder), await taken(state, folder, include))


async def taken(state: State, folder: Path, include: Collection[bytes] = ()) -> Snapshot:
    """Return a snapshot of the folder.

    Raises:
        Unprocessable: the folder cannot be read.
    """
    try:
        async with one_at_a_time(state):
            progress = counter("files")
            return await asyncio.to_thread(
                lambda: state.files().take(folder, include=include, progress=progress)
            )
    except OSError as error:
        raise cannot(f"the files in {folder} cannot be kept", error) from error


def one_at_a_time(state: State) -> AbstractAsyncContextManager[None]:
    """Hold the lock for long work on files: the store does one after the other, and those that wait must not
    occupy the threads that others need."""
    return state.exclusively("files of checkpoints")


async def differences(state: State, old: str, new: str) -> list[Change]:
    """Return the differences between two snapshots, given by their roots.

    Raises:
        Unprocessable: one of them is damaged.
    """
    try:
        return await asyncio.to_thread(
            lambda: state.files().diff(bytes.fromhex(old), bytes.fromhex(new)),
        )
    except DamagedObject as error:
        raise unreadable(state, error) from error


def unreadable(state: State, error: DamagedObject) -> Unprocessable:
    """Return the error for a request that needs the files of a checkpoint, if they are damaged, or on the
    disk of another node."""
    found = cannot("the files of a checkpoint cannot be read", error)
    if not state.nodes.own:
        return found
    hint = (
        "if another node made the checkpoint, they are in the folder checkpoints of its state folder;"
        " to restore the conversation alone, give the cursor of the checkpoint"
    )
    return Unprocessable(found.detail, hint=hint)


def cannot(what: str, error: OSError | DamagedObject | Obstructed) -> Unprocessable:
    """Return the error for a request that failed because of the files."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Unprocessable(f"{what}: {reason}")
