"""The store of snapshots: takes them, compares them and forgets them."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from threading import Lock, RLock

from msgspec.structs import replace

from rhetor.domain.snapshot import Change, Entry, Snapshot

from . import index as indexes
from . import journal as journals
from .base import DamagedObject, Files, Journal, Obstructed, Progress, RestoreUndone
from .objects import Objects
from .restore import Restore
from .scan import Scan
from .sealing import FileSeal
from .trees import changes, encode, paths, reachable, with_entries
from .worktree import Worktree, require_free

RECENT_SECONDS = 600


class FileStore(Files):
    """Snapshots of folders, in a folder of the hub. Any thread may use it, but only one process.

    `max_file_bytes`: larger files are left out of a snapshot. `without`: folders that no snapshot contains.
    `seal`: seals what is written if it is active.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_file_bytes: int,
        without: Sequence[Path] = (),
        seal: FileSeal | None = None,
    ) -> None:
        self.objects = Objects(folder, seal)
        self._seal = seal
        self._folder = folder
        self.max_file_bytes = max_file_bytes
        self._without = (folder, *without)
        self._taken: dict[bytes, float] = {}
        self._held: Counter[bytes] = Counter()
        self._holding = Lock()  # of `_held`; unlike the next one, it is never held for long
        self._one = RLock()  # two walks through one folder would replace each other's index

    def close(self) -> None:
        self.objects.close()

    def take(
        self, folder: Path, *, include: Collection[bytes] = (), progress: Progress | None = None
    ) -> Snapshot:
        of = os.fsencode(folder)
        with self._one, self.objects.pack() as pack:
            scan = Scan(
                indexes.load(self._folder, of, self._seal),
                pack,
                include=_with_parents(include),
                without=_identities(self._without),
                max_file_bytes=self.max_file_bytes,
                progress=progress,
            )
            found = scan.run(folder)
            pack.finish()
            self._taken[found.root] = time.monotonic()
        indexes.save(self._folder, of, scan.index, self._seal)
        return replace(found, stored=pack.size)

    def diff(self, old: bytes, new: bytes) -> list[Change]:
        return list(changes(self.objects, old, new))

    def paths(self, root: bytes) -> set[bytes]:
        return set(paths(self.objects, root))

    def restore(
        self,
        folder: Path,
        target: bytes,
        before: bytes,
        note: bytes = b"",
        *,
        progress: Progress | None = None,
    ) -> Journal:
        journal = Journal(os.fsencode(folder), before, before, target, note)
        journals.write(self._folder, journal, self._seal)
        try:
            return self._run(journal, progress)
        except (Obstructed, DamagedObject):
            self.settle(journal)
            raise
        except OSError as error:
            raise RestoreUndone(error, self.finish(journal, undo=True)) from error

    def unfinished(self) -> list[Journal]:
        return journals.read_all(self._folder, self._seal)

    def finish(self, journal: Journal, *, undo: bool = False) -> Journal:
        goal, undone = (journal.first, True) if undo else (journal.target, journal.undone)
        with self._one:  # what was moved is in no snapshot until it is saved
            moved = self._between(journal).after_interruption()
            expected = (paths(self.objects, journal.before), paths(self.objects, journal.target))
            now = self.take(
                Path(os.fsdecode(journal.folder)), include=expected[0].keys() | expected[1].keys()
            )
            for path, entry in paths(self.objects, now.root).items():
                if entry.kind != "folder" and entry not in [known.get(path) for known in expected]:
                    moved[path] = entry
            journal = replace(self._saved(journal, moved), before=now.root, target=goal, undone=undone)
            journals.write(self._folder, journal, self._seal)
            return self._run(journal)

    def settle(self, journal: Journal) -> None:
        journals.remove(self._folder, journal.number)

    def _run(self, journal: Journal, progress: Progress | None = None) -> Journal:
        with self._one:
            journal = self._saved(journal, self._between(journal).run(progress))
        journals.write(self._folder, journal, self._seal)
        return journal

    def _between(self, journal: Journal) -> Restore:
        folder = Path(os.fsdecode(journal.folder))
        return Restore(self.objects, folder, journal.before, journal.target, journal.number)

    def _saved(self, journal: Journal, found: Mapping[bytes, Entry]) -> Journal:
        if not found:
            return journal
        with self.objects.pack() as pack:
            root = with_entries(self.objects, pack, journal.saved or journal.first, found)
            self._taken[root] = time.monotonic()
        return replace(journal, saved=root)

    def export(self, root: bytes, folder: Path, *, progress: Progress | None = None) -> None:
        require_free(folder)
        partial = folder.with_name(f".{folder.name}-{token_hex(4)}")
        partial.mkdir(parents=True)
        try:
            with self._one:
                with self.objects.pack() as pack:
                    empty = pack.put(encode(()))
                Restore(self.objects, partial, empty, root, "export").run(progress)
            partial.rename(folder)
        except BaseException:  # also an interrupt: nothing remains
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def export_worktree(
        self, root: bytes, source: Path, folder: Path, branch: str, *, progress: Progress | None = None
    ) -> Path:
        require_free(folder)
        worktree = Worktree(source, folder, branch)
        worktree.add()
        try:
            place = worktree.place
            place.mkdir(parents=True, exist_ok=True)
            before = self.take(place, include=self.paths(root))
            with self._one:
                Restore(self.objects, place, before.root, root, "export").run(progress)
        except BaseException:  # also an interrupt: nothing remains
            worktree.remove()
            raise
        return place

    def remove_worktree(self, source: Path, folder: Path, branch: str) -> None:
        Worktree(source, folder, branch).remove()

    @property
    def size(self) -> int:
        return self.objects.size

    def fitting(self, roots: Sequence[bytes], most: int) -> int:
        sizes, found, total = self.objects.sizes(), set[bytes](), 0
        for number, root in enumerate(roots):
            if not self.objects.has(root):
                continue  # it is on the disk of a node that is lost
            new = reachable(self.objects, {root}, known=found)
            total += sum(sizes.get(name, 0) for digest in new for name in self.objects.names_of(digest))
            if total > most:
                return number
            found |= new
        return len(roots)

    @contextmanager
    def holding(self, root: bytes) -> Iterator[None]:
        with self._holding:
            self._held[root] += 1
        try:
            yield
        finally:
            with self._holding:
                self._held[root] -= 1

    def keep(self, roots: Collection[bytes], *, most: int | None = None) -> int:
        with self._one:
            with self._holding:
                held = set(+self._held)
            used = {*roots, *held, *self._recent(), *self._in_journals()}
            live = reachable(self.objects, {root for root in used if self.objects.has(root)})
            indexes.forget(self._folder, live, self._seal)
            shrunk = self.objects.keep(live)
            if most is not None and self.objects.size > most:
                shrunk += self.objects.keep(live, in_use=1)
            return shrunk

    def seal_stored(self, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Seal what is plain, or is sealed with an earlier key, a file at a time, as long as it is `wanted`.
        Return whether everything is sealed. No effect if sealing is not active.

        Raises:
            OSError: the store cannot be written. Nothing was lost, and the next call continues.
            DamagedObject, SealBroken: something cannot be opened.
        """
        seal = self._seal
        if seal is None or not seal.active:
            return True
        changed = False
        while wanted() and (found := self.objects.seal_next()):
            changed |= found
        with self._one:
            for path in indexes.unsealed(self._folder, seal):
                path.unlink(missing_ok=True)  # the next walk makes it again
        if changed:
            self.objects.scrub()
        return wanted()

    def _recent(self) -> set[bytes]:
        """Return the snapshots that were just taken: no checkpoint may name them yet."""
        since = time.monotonic() - RECENT_SECONDS
        self._taken = {root: at for root, at in self._taken.items() if at > since}
        return set(self._taken)

    def _in_journals(self) -> set[bytes]:
        return {
            root
            for journal in self.unfinished()
            for root in (journal.first, journal.before, journal.target, journal.saved)
            if root is not None
        }


def _with_parents(included: Collection[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for path in included:
        while path and path not in found:
            found.add(path)
            path = path.rpartition(b"/")[0]
    return found


def _identities(folders: Sequence[Path]) -> set[tuple[int, int]]:
    found = (folder.stat() for folder in folders if folder.exists())
    return {(status.st_dev, status.st_ino) for status in found}
