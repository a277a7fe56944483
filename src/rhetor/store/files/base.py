"""The promise of a store of snapshots: folders are kept, compared and restored, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from secrets import token_hex
from typing import Protocol

from msgspec import Struct, field

from rhetor.domain.snapshot import Change, Snapshot

Progress = Callable[[int], None]


class DamagedObject(Exception):
    """An object of a snapshot is missing, or its content does not have its digest."""


class Obstructed(Exception):
    """Something that no snapshot contains is in the way of a restore. Nothing was changed."""


class Journal(Struct, frozen=True, gc=False):
    """A restore that is not settled.

    `before` and `target`: the snapshots between which files are being replaced. `first`: the snapshot from
    which the restore began. `saved`: a snapshot with what was found meanwhile and `first` does not contain.
    `note`: for whoever began it.
    """

    folder: bytes
    first: bytes
    before: bytes
    target: bytes
    note: bytes = b""
    saved: bytes | None = None
    number: str = field(default_factory=lambda: token_hex(8))


class Files(Protocol):
    """Snapshots of folders. Its functions block; any thread may call them, but only one process."""

    def take(
        self, folder: Path, *, include: Collection[bytes] = (), progress: Progress | None = None
    ) -> Snapshot:
        """Store the content of the folder. `include`: relative paths that the snapshot contains although a
        `.gitignore` excludes them. `progress`: is called with the number of files so far.

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

    def restore(self, folder: Path, target: bytes, before: bytes, note: bytes = b"") -> Journal:
        """Make the folder equal to `target`. `before`: its snapshot, taken with `include=paths(target)`.

        Return the journal, whose `saved` has the files that changed after `before`. Until it is settled, it
        is among the `unfinished` ones, also in the next process.

        Raises:
            Obstructed: something that no snapshot contains is in the way; nothing was changed.
            DamagedObject: an object of `target` is missing or damaged; nothing was changed.
            OSError: the folder cannot be written. It is as before again, or the restore is unfinished.
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

    def export(self, root: bytes, folder: Path) -> None:
        """Write a snapshot into a new folder.

        Raises:
            FileExistsError: there is something already.
            DamagedObject: the snapshot is missing or damaged.
            OSError: the folder cannot be written; a part of it may remain.
        """

    def keep(self, roots: Collection[bytes]) -> int:
        """Forget all other snapshots. Return by how many bytes the store shrank.

        Raises:
            DamagedObject: a snapshot is missing or damaged. Nothing was forgotten.
        """


class OpenFiles(Protocol):
    """Opens the store of snapshots when it is needed."""

    def __call__(self) -> Files:
        """Return the store, which is opened by the first call."""

    def unfinished(self) -> list[Journal]:
        """Return the restores that are not settled, without opening the store."""
