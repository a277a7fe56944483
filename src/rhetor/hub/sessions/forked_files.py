"""The files of a fork: those of a checkpoint, or of now, in a new folder or git worktree."""

from __future__ import annotations

import asyncio
import re
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.command import ForkSession
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.errors import (
    FilesMissing,
    FolderForbidden,
    FolderTaken,
    NoRepository,
    OnOtherMachine,
    Unprocessable,
)
from rhetor.hub.catalog.checkpoints import KeptFiles
from rhetor.hub.core.checks import require_person
from rhetor.hub.core.progress import counter
from rhetor.store.files.base import DamagedObject, Files, GitFailed, Obstructed, Progress

from .agent_memory import peer_of
from .checkpoints import Place
from .session_files import cannot, folder_of, kept_files, one_at_a_time

if TYPE_CHECKING:
    from rhetor.hub.state import State

_UNSAFE = re.compile(r"[^\w-]+")  # in names of folders and branches


class ForkedFiles(Struct, frozen=True):
    """The files of a fork. `folder`: the one in which its peer works. `top`: the folder that was made.
    `source`: where the files come from. `branch`: of the git worktree; None if it is none."""

    folder: str
    top: str
    source: str
    branch: str | None
    kept: KeptFiles


async def write_files(
    state: State, principal: Principal, parent: Session, session: Session, place: Place, command: ForkSession
) -> ForkedFiles | None:
    """Write the files into the folder that the command wants; None if it wants none.

    Raises:
        Forbidden: the caller is a peer's program.
        FilesMissing: the session, or the position, has no files.
        FolderForbidden: the caller may not write there.
        FolderTaken: something is there.
        NoRepository: the session's folder is in no git repository.
        Unprocessable: the peer cannot work there, or the files cannot be written.
    """
    if command.cwd is None and not command.worktree:
        return None
    if (peer := peer_of(state, parent)) is not None and peer.machine:
        raise OnOtherMachine(
            f"the files of {parent.name or parent.id} are on {peer.machine}: no fork can have a folder",
            machine=peer.machine,
            hint="fork the session without a folder",
        )
    require_person(principal)  # git may run filters that the repository names
    kept = await _files(state, parent, place)
    name = _UNSAFE.sub("-", session.name or session.id)
    original = await asyncio.to_thread(_original, Path(kept.folder), command.worktree)
    top = Path(command.cwd) if command.cwd else original.with_name(f"{original.name}-{name}")
    top = await asyncio.to_thread(top.resolve)
    _check(state, principal, session, original, top)
    branch = f"aish/{name}" if command.worktree else None
    folder = await _written(state, kept, top, branch)
    return ForkedFiles(str(folder), str(top), kept.folder, branch, replace(kept, folder=str(folder)))


async def discard(state: State, files: ForkedFiles | None) -> None:
    """Remove the folder of a fork that failed."""
    if files is None:
        return
    if files.branch is None:
        remove = partial(shutil.rmtree, files.top, ignore_errors=True)
    else:
        source, top, branch = Path(files.source), Path(files.top), files.branch
        remove = partial(state.files().remove_worktree, source, top, branch)
    await asyncio.to_thread(remove)


async def _files(state: State, parent: Session, place: Place) -> KeptFiles:
    if place.files is not None:
        return place.files
    kept = await kept_files(state, await folder_of(state, parent)) if place.is_end else None
    if kept is None:
        what = f"the checkpoint {place.checkpoint.name}" if place.checkpoint else "this position"
        raise FilesMissing("the session" if place.is_end else what)
    return kept


def _original(source: Path, worktree: bool) -> Path:
    """Return the folder that is forked, without symbolic links: of the repository, if it is a worktree."""
    source = source.resolve()
    if not worktree:
        return source
    return next((each for each in (source, *source.parents) if (each / ".git").exists()), source)


def _check(state: State, principal: Principal, session: Session, original: Path, top: Path) -> None:
    roots = [Path(root).expanduser().resolve() for root in state.limits.project_roots]
    if not principal.local and not any(top.is_relative_to(root) for root in roots):
        raise FolderForbidden(str(top))
    if top.is_relative_to(original):
        raise Unprocessable(f"{top} is inside of {original}, whose files are forked", folder=str(top))
    peer = peer_of(state, session)
    if peer is None or peer.program is None:
        return
    works_in = state.launches(peer, str(top)).cwd
    if Path(works_in) != top:
        detail = f"{peer.name} always works in {works_in}; set tools.{peer.name}.cwd: caller"
        raise Unprocessable(detail, folder=str(top))


async def _written(state: State, kept: KeptFiles, top: Path, branch: str | None) -> Path:
    root, files = bytes.fromhex(kept.root), state.files()
    try:
        async with one_at_a_time(state):
            with files.holding(root):
                return await asyncio.to_thread(_export, files, kept, top, branch, counter("files"))
    except FileExistsError:
        raise FolderTaken(str(top)) from None
    except GitFailed as error:
        if not error.repository:
            raise NoRepository(kept.folder, str(error)) from None
        raise Unprocessable(f"git cannot make the worktree: {error}", folder=str(top)) from None
    except (OSError, DamagedObject, Obstructed) as error:
        raise cannot(f"the files cannot be written to {top}", error) from error


def _export(files: Files, kept: KeptFiles, top: Path, branch: str | None, progress: Progress | None) -> Path:
    root = bytes.fromhex(kept.root)
    if branch is not None:
        return files.export_worktree(root, Path(kept.folder), top, branch, progress=progress)
    files.export(root, top, progress=progress)
    return top
