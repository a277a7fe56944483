"""The promise of a store of snapshots: folders are kept, compared and restored, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from secrets import token_hex
from typing import Protocol

from msgspec import Struct, field

from rhetor.domain.snapshot import Change, Snapshot

Progress = Callable[[int, int | None], None]


class DamagedObject(Exception):
    """An object of a snapshot is missing, or its content does not have its digest."""


class Obstructed(Exception):
    """Something that no snapshot contains is in the way of a restore. Nothing was changed."""


class GitFailed(Exception):
    """A git command failed. `repository`: whether there is a repository."""

    def __init__(self, reason: str, *, repository: bool = True) -> None:
        super().__init__(reason)
        self.repository = repository


class Journal(Struct, frozen=True, gc=False):
    """A restore that is not settled.

    `before` and `target`: the snapshots between which files are being replaced. `first`: the snapshot from
    which the restore began. `saved`: a snapshot with what was found meanwhile and `first` does not contain.
    `note`: for whoever began it. `undone`: the folder is, or is to become, as it was before the restore.
    """

    folder: bytes
    first: bytes
    before: bytes
    target: bytes
    note: bytes = b""
    saved: bytes | None = None
    number: str = field(default_factory=lambda: token_hex(8))
    undone: bool = False


class RestoreUndone(OSError):
    """A restore failed, and the folder is as it was before. `journal`: what is to be settled; its `saved` has
    the files that changed meanwhile."""

    def __init__(self, error: OSError, journal: Journal) -> None:
        super().__init__(error.errno or 0, error.strerror or str(error))
        self.journal = journal


class Files(Protocol):
    """Snapshots of folders. Its functions block; any thread may call them, but only one process.

    `progress`: is called with the number of files so far, and an estimate of their number in all.
    """

    def take(
        self, folder: Path, *, include: Collection[bytes] = (), progress: Progress | None = None
    ) -> Snapshot:
        """Store the content of the folder. `include`: relative paths that the snapshot contains although a
        `.gitignore` excludes them.

        Raises:
            OSError: the folder cannot be read, or the store cannot be written.
        """

    def diff(self, old: bytes, new: bytes) -> list[Change]:
        """Return the differences between two snapshots, by path.

        Raises:
            DamagedObject: one of them is missing or damaged.
        """

    def paths(self, root: bytes) -> set[bytes]:
        """Return the relative paths of everything that a snapshot contains.

        Raises:
            DamagedObject: the snapshot is missing or damaged.
        """

    def restore(
        self,
        folder: Path,
        target: bytes,
        before: bytes,
        note: bytes = b"",
        *,
        progress: Progress | None = None,
    ) -> Journal:
        """Make the folder equal to `target`. `before`: its snapshot, taken with `include=paths(target)`.

        Return the journal, whose `saved` has the files that changed after `before`. Until it is settled, it
        is among the `unfinished` ones, also in the next process.

        Raises:
            Obstructed: something that no snapshot contains is in the way; nothing was changed.
            DamagedObject: an object of `target` is missing or damaged; nothing was changed.
            RestoreUndone: the folder cannot be written, and is as before again. The caller settles it.
            OSError: the folder cannot be written, nor made as before; the restore is unfinished.
        """

    def unfinished(self) -> list[Journal]:
        """Return the restores that were interrupted or not settled."""

    def finish(self, journal: Journal, *, undo: bool = False) -> Journal:
        """Finish an interrupted restore, or undo it. A file that changed meanwhile is saved.

        Raises:
            Obstructed, DamagedObject, OSError: as `restore`. The restore remains unfinished.
        """

    def settle(self, journal: Journal) -> None:
        """Forget a restore whose result is recorded elsewhere."""

    def export(self, root: bytes, folder: Path, *, progress: Progress | None = None) -> None:
        """Write a snapshot into a folder that is new or empty. Either all of it is there afterwards, or
        nothing.

        Raises:
            FileExistsError: there is something already.
            DamagedObject: the snapshot is missing or damaged.
            OSError: the folder cannot be written.
        """

    def export_worktree(
        self, root: bytes, source: Path, folder: Path, branch: str, *, progress: Progress | None = None
    ) -> Path:
        """Add a git worktree to the repository in which `source` is, in a folder that is new or empty, on a
        new branch that begins at the current commit. Write a snapshot of `source` into it. Return the path
        that corresponds to `source`.

        What the snapshot does not contain, but the commit does, because a `.gitignore` excludes it or because
        it was too large, is as in the commit. No hook runs.

        Raises:
            FileExistsError: there is something already.
            GitFailed: `source` is in no repository, or git rejects the worktree.
            DamagedObject: the snapshot is missing or damaged.
            OSError: the folder cannot be written.
        """

    def remove_worktree(self, source: Path, folder: Path, branch: str) -> None:
        """Remove a worktree that `export_worktree` added, and its branch."""

    @property
    def size(self) -> int:
        """The number of bytes that the content of all snapshots takes on the disk."""

    def fitting(self, roots: Sequence[bytes], most: int) -> int:
        """Return how many of the snapshots, from the first one, take at most so many bytes on the disk.

        Raises:
            DamagedObject: a snapshot is missing or damaged.
        """

    def holding(self, root: bytes) -> AbstractContextManager[None]:
        """Do not forget the snapshot while the context is open."""

    def keep(self, roots: Collection[bytes], *, most: int | None = None) -> int:
        """Forget all other snapshots, apart from those that are held, that were just taken, or that a restore
        needs. Return by how many bytes the store shrank. It may keep some content that no snapshot has,
        unless it is larger than `most` bytes. A snapshot that is missing is ignored.

        Raises:
            DamagedObject: a snapshot is damaged. Nothing was forgotten.
            OSError: the store cannot be written.
        """


class OpenFiles(Protocol):
    """Opens the store of snapshots when it is needed. `max_file_bytes`: larger files are left out of the next
    snapshots."""

    max_file_bytes: int

    @property
    def exists(self) -> bool:
        """Whether there is a store, from this process or an earlier one."""

    def __call__(self) -> Files:
        """Return the store, which is opened by the first call."""

    def unfinished(self) -> list[Journal]:
        """Return the restores that are not settled, without opening the store."""

    def unfinished_on(self, machine: str) -> list[Journal]:
        """Return the restores on a machine that has joined that are not settled.

        Raises:
            OSError: the machine is not connected.
        """
