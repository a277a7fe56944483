"""Snapshots of folders on several machines: of the hub's own, and of those that have joined.

The folder of another machine is written `//MACHINE/path`, and the root of its snapshot begins with the
machine's name. So what uses snapshots need not know where they are. Their content stays on their machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.machine import FilesFailed, folder_on, place_of
from rhetor.domain.snapshot import Change, LeftOut, Snapshot

from .base import DamagedObject, Files, Journal, Obstructed, OpenFiles, Progress, RestoreUndone

T = TypeVar("T")
Call = Callable[[str, str, dict[str, Any]], bytes]
_SEPARATOR = b"\0"


class Taken(Struct, frozen=True):
    """A `Snapshot`, as a machine sends it."""

    root: bytes
    files: int
    size: int
    stored: int
    left_out: tuple[LeftOut, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Taken:
        return cls(snapshot.root, snapshot.files, snapshot.bytes, snapshot.stored, snapshot.left_out)


class FilesByMachine:
    """Opens the store of this machine, and reaches those of others. `call` calls a method of `Files` on a
    machine, blocking, and returns its result as JSON; it raises FilesFailed, or OSError if the machine is not
    connected. `connected` returns the names of the machines that are."""

    def __init__(self, own: OpenFiles, call: Call, connected: Callable[[], Collection[str]]) -> None:
        self._own = own
        self._remote = _Remote(call)
        self._connected = connected

    @property
    def max_file_bytes(self) -> int:
        return self._own.max_file_bytes

    @max_file_bytes.setter
    def max_file_bytes(self, most: int) -> None:
        self._own.max_file_bytes = most

    @property
    def exists(self) -> bool:
        return self._own.exists

    def __call__(self) -> Files:
        return _Files(self._own(), self._remote, self._connected)

    def unfinished(self) -> list[Journal]:
        return self._own.unfinished()

    def unfinished_on(self, machine: str) -> list[Journal]:
        """Return the restores on a machine that are not settled."""
        return [_named(machine, each) for each in self._remote.ask(machine, "unfinished", list[Journal])]


class _Files:
    """See `Files`; each method works where its folder or its snapshot is."""

    def __init__(self, own: Files, remote: _Remote, connected: Callable[[], Collection[str]]) -> None:
        self._own = own
        self._remote = remote
        self._connected = connected

    def take(
        self, folder: Path, *, include: Collection[bytes] = (), progress: Progress | None = None
    ) -> Snapshot:
        machine, path = place_of(str(folder))
        if not machine:
            return self._own.take(folder, include=include, progress=progress)
        taken = self._remote.ask(machine, "take", Taken, folder=path, include=sorted(include))
        root = _root_on(machine, taken.root)
        return Snapshot(root, taken.files, taken.size, taken.stored, taken.left_out)

    def diff(self, old: bytes, new: bytes) -> list[Change]:
        (machine, first), (other, second) = _place(old), _place(new)
        if machine != other:
            raise DamagedObject("the snapshots are on different machines")
        if not machine:
            return self._own.diff(old, new)
        return self._remote.ask(machine, "diff", list[Change], old=first, new=second)

    def paths(self, root: bytes) -> set[bytes]:
        machine, digest = _place(root)
        return (
            self._remote.ask(machine, "paths", set[bytes], root=digest) if machine else self._own.paths(root)
        )

    def restore(
        self,
        folder: Path,
        target: bytes,
        before: bytes,
        note: bytes = b"",
        *,
        progress: Progress | None = None,
    ) -> Journal:
        machine, path = place_of(str(folder))
        if not machine:
            return self._own.restore(folder, target, before, note, progress=progress)
        roots = {"target": _place(target)[1], "before": _place(before)[1]}
        return _named(machine, self._remote.ask(machine, "restore", Journal, folder=path, note=note, **roots))

    def unfinished(self) -> list[Journal]:
        return self._own.unfinished()

    def finish(self, journal: Journal, *, undo: bool = False) -> Journal:
        machine, own = _unnamed(journal)
        if not machine:
            return self._own.finish(journal, undo=undo)
        return _named(machine, self._remote.ask(machine, "finish", Journal, journal=own, undo=undo))

    def settle(self, journal: Journal) -> None:
        machine, own = _unnamed(journal)
        if machine:
            self._remote.ask(machine, "settle", None, journal=own)
        else:
            self._own.settle(journal)

    def export(self, root: bytes, folder: Path, *, progress: Progress | None = None) -> None:
        _require_here(root)
        self._own.export(root, folder, progress=progress)

    def export_worktree(
        self, root: bytes, source: Path, folder: Path, branch: str, *, progress: Progress | None = None
    ) -> Path:
        _require_here(root)
        return self._own.export_worktree(root, source, folder, branch, progress=progress)

    def remove_worktree(self, source: Path, folder: Path, branch: str) -> None:
        self._own.remove_worktree(source, folder, branch)

    @property
    def size(self) -> int:
        return self._own.size

    def fitting(self, roots: Sequence[bytes], most: int) -> int:
        here = [at for at, root in enumerate(roots) if not _place(root)[0]]  # others take no room here
        fitting = self._own.fitting([roots[at] for at in here], most)
        return here[fitting] if fitting < len(here) else len(roots)

    def holding(self, root: bytes) -> AbstractContextManager[None]:
        return nullcontext() if _place(root)[0] else self._own.holding(root)

    def keep(self, roots: Collection[bytes], *, most: int | None = None) -> int:
        places = [_place(root) for root in roots]
        for machine in self._connected():
            wanted = [digest for name, digest in places if name == machine]
            self._remote.ask(machine, "keep", int, roots=wanted, most=most)
        return self._own.keep([digest for name, digest in places if not name], most=most)


class _Remote:
    def __init__(self, call: Call) -> None:
        self._call = call

    def ask(self, machine: str, method: str, kind: type[T] | None, **arguments: Any) -> T:
        """Call a method on a machine; return its result.

        Raises:
            DamagedObject, Obstructed, RestoreUndone, OSError: as the method, or the machine is not connected.
        """
        try:
            found = self._call(machine, method, arguments)
        except FilesFailed as failed:
            raise _error_of(machine, failed) from None
        try:
            decoded: T = msgspec.json.decode(found, type=kind)
        except msgspec.DecodeError as error:
            raise OSError(0, f"{machine} sent an invalid result: {error}") from None
        return decoded


def failure_of(error: Exception) -> FilesFailed:
    """Return an error of `Files` as a machine sends it."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    journal = msgspec.json.encode(error.journal).decode() if isinstance(error, RestoreUndone) else ""
    kinds = (RestoreUndone, DamagedObject, Obstructed, FileExistsError, OSError)
    kind = next((each.__name__ for each in kinds if isinstance(error, each)), "OSError")
    return FilesFailed(reason, kind, journal)


def _error_of(machine: str, failed: FilesFailed) -> Exception:
    kind, detail = failed.kind, f"{machine}: {failed.detail}"
    if kind == "DamagedObject":
        return DamagedObject(detail)
    if kind == "Obstructed":
        return Obstructed(detail)
    if kind == "RestoreUndone" and failed.journal:
        undone = msgspec.json.decode(failed.journal, type=Journal)
        return RestoreUndone(OSError(0, detail), _named(machine, undone))
    return OSError(0, detail)


def _root_on(machine: str, root: bytes) -> bytes:
    return machine.encode() + _SEPARATOR + root


def _place(root: bytes) -> tuple[str, bytes]:
    """Return the machine of a snapshot, empty for this one, and its root there. The root of a snapshot of
    this machine is a digest of 32 bytes."""
    name, separator, digest = root.rpartition(_SEPARATOR + root[-32:])
    return (name.decode(), root[-32:]) if separator and name and not digest else ("", root)


def _named(machine: str, journal: Journal) -> Journal:
    """Return the journal of a machine as it is known to the hub."""
    roots = {name: _root_on(machine, getattr(journal, name)) for name in ("first", "before", "target")}
    saved = _root_on(machine, journal.saved) if journal.saved is not None else None
    folder = os.fsencode(folder_on(machine, os.fsdecode(journal.folder)))
    return replace(journal, folder=folder, saved=saved, **roots)


def _unnamed(journal: Journal) -> tuple[str, Journal]:
    """Return the machine of a journal, and the journal as it is known there."""
    machine, path = place_of(os.fsdecode(journal.folder))
    if not machine:
        return "", journal
    roots = {name: _place(getattr(journal, name))[1] for name in ("first", "before", "target")}
    saved = _place(journal.saved)[1] if journal.saved is not None else None
    return machine, replace(journal, folder=os.fsencode(path), saved=saved, **roots)


def _require_here(root: bytes) -> None:
    if machine := _place(root)[0]:
        raise DamagedObject(f"the files are on {machine}, and can be restored only there")
