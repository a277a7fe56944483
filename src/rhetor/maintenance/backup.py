"""Makes a backup: one file with the database, the binary content and the files of checkpoints.

All of it is as of one moment, while the hub goes on writing: the database is read in one transaction, and the
packs of checkpoints are linked, so that they stay even if the hub removes them meanwhile.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, cast

import msgspec
from msgspec import Struct

from rhetor.errors import RhetorError, SealBroken, StoreDamaged
from rhetor.hub.catalog import checkpoints
from rhetor.hub.sessions import blobs
from rhetor.sealing.age import SealedWriter
from rhetor.sealing.portable import PortableKeys
from rhetor.sealing.ring import Ring
from rhetor.store.files.objects import INDEX
from rhetor.store.files.sealing import FileSeal
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.file import require_sound
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.snapshot import copy, snapshot

from .archive import DATABASE, Writer
from .folders import fsync, temporary
from .progress import Progress

ATTEMPTS = 3  # to read a state in which nothing is missing


class NotBackedUp(RhetorError):
    """There is nothing to back up, it is damaged, or the file exists already."""

    code, status = "not_backed_up", 409


class Held(Struct, frozen=True):
    """What the checkpoints of a moment need, in a folder where it stays. `files` and `missing`: names."""

    files: Sequence[str] = ()
    missing: Sequence[str] = ()


class Sealing(Struct, frozen=True):
    """How a file is sealed. `passphrase`: None if it is not. `keys`: returns the keys of sealed content that
    go with it. `seal`: of the checkpoints in the state folder. `ring`: opens what is sealed in the
    database."""

    passphrase: str | None = None
    keys: Callable[[], PortableKeys | None] = lambda: None
    seal: FileSeal | None = None
    ring: Ring | None = None

    @contextmanager
    def sealed(self, file: IO[bytes]) -> Iterator[IO[bytes]]:
        """Return a file: what is written to it is sealed into `file`."""
        if self.passphrase is None:
            yield file
            return
        writer = SealedWriter(file, self.passphrase)
        try:
            yield cast(IO[bytes], writer)
        except BaseException:  # also an interrupt: the file must not look complete
            writer.abandon()
            raise
        writer.close()


def back_up(
    home: Path,
    target: Path,
    progress: Progress,
    sealing: Sealing | None = None,
) -> Sequence[str]:
    """Write a backup of a state folder. Return the files that it should have and has not.

    The file is readable by its owner only. It is complete and durable when it has its name; otherwise there
    is no file.

    Raises:
        NotBackedUp: there is no database, it is damaged or cannot be read now, or `target` exists already.
        OSError: a file cannot be read or written.
    """
    database = home / DATABASE
    if not database.exists():
        raise NotBackedUp(f"{database} does not exist; name the state folder with --home or RHETOR_HOME")
    if os.path.lexists(target):
        raise _exists(target)
    with temporary(target.parent, f".{target.name}.part-") as beside, temporary(home, "backup-") as links:
        try:
            return _back_up(home, target, beside, links, progress, sealing or Sealing())
        except (sqlite3.Error, UnicodeDecodeError, msgspec.DecodeError, SealBroken) as error:
            raise NotBackedUp(f"{database} cannot be read: {error}; run rhetor check") from error


def _exists(target: Path) -> NotBackedUp:
    return NotBackedUp(f"{target} exists already; a backup never overwrites a file, so choose another name")


def _back_up(
    home: Path, target: Path, beside: Path, links: Path, progress: Progress, sealing: Sealing
) -> Sequence[str]:
    # a copy that is not sealed must not be where the sealed backup goes
    database = (beside if sealing.passphrase is None else links) / DATABASE
    with ExitStack() as stack:
        for _ in range(ATTEMPTS):
            stack.close()
            source = stack.enter_context(snapshot(home / DATABASE))
            at = time.time_ns() // 1_000_000
            held = _hold(home / "checkpoints", links, _roots(source, sealing.ring), sealing.seal)
            if not held.missing:  # otherwise, the hub may just have removed it
                break
        wanted = _blobs(source)
        progress.total = _size(source, home, links, held, wanted)
        copy(source, database, progress.add)
    _check(home / DATABASE, database)
    made = beside / "backup"
    with made.open("xb") as file:
        with sealing.sealed(file) as into:
            archive = Writer(into, at, progress.add)
            archive.add(DATABASE, database)
            missing = [*held.missing, *_add_blobs(archive, home, wanted)]
            for name in held.files:
                archive.add(f"checkpoints/{name}", links / name)
            archive.finish(missing, sealing.keys())  # the newest ones, which may have sealed a file meanwhile
        file.flush()
        os.fsync(file.fileno())
    _publish(made, target)
    return missing


def _roots(source: sqlite3.Connection, ring: Ring | None) -> set[bytes]:
    """Return the snapshots of files that the checkpoints name."""
    sealing, found = sealing_of(source, ring), set()
    for id, doc in source.execute("SELECT id, doc FROM rows WHERE kind = ?", (checkpoints.KIND,)):
        files = msgspec.json.decode(sealing.opened_doc(checkpoints.KIND, id, doc)).get("files")
        if files:
            found.add(bytes.fromhex(files["root"]))
    return found


def _blobs(source: sqlite3.Connection) -> list[str]:
    query = "SELECT DISTINCT parent FROM rows WHERE kind = ? ORDER BY parent"
    return [blob for (blob,) in source.execute(query, (blobs.KIND,))]


def _hold(folder: Path, links: Path, roots: set[bytes], seal: FileSeal | None) -> Held:
    """Copy the index of the store of files, and link its packs."""
    for old in links.iterdir():
        old.unlink()
    if not (folder / INDEX).exists():
        return Held(missing=[_named(root) for root in sorted(roots)])
    with snapshot(folder / INDEX) as index:
        copy(index, links / INDEX, lambda _: None)
        stored = "SELECT 1 FROM objects WHERE digest IN (?, ?)"
        names = {root: seal.name(root) if seal else root for root in sorted(roots)}
        missing = [
            _named(root) for root, name in names.items() if not index.execute(stored, (root, name)).fetchone()
        ]
        files = [INDEX]
        for (pack,) in index.execute("SELECT id FROM packs ORDER BY id").fetchall():
            name = f"{pack}.pack"
            try:
                _link(folder / name, links / name)
                files.append(name)
            except FileNotFoundError:
                missing.append(f"checkpoints/{name}")
    return Held(files, missing)


def _named(root: bytes) -> str:
    return f"the files {root.hex()} of a checkpoint"


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # the file system has no links
        shutil.copyfile(source, target)


def _size(source: sqlite3.Connection, home: Path, links: Path, held: Held, wanted: Sequence[str]) -> int:
    """Return how many bytes are to be copied. The database is copied twice."""
    (pages,), (page,) = (source.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size"))
    blobs = [path for blob in wanted if (path := home / "blobs" / blob).exists()]
    files = [links / name for name in held.files]
    return 2 * int(pages) * int(page) + sum(path.stat().st_size for path in [*blobs, *files])


def _check(database: Path, made: Path) -> None:
    """Check the copy, so that no backup of a damaged database is taken for a good one."""
    try:
        with closing(connect(made)) as connection:
            require_sound(made, connection)
    except StoreDamaged as damaged:
        raise NotBackedUp(
            f"{database} is damaged ({damaged.data['findings'][0]}); restart the hub, which keeps what can "
            "be read of it, and back up again"
        ) from damaged


def _add_blobs(archive: Writer, home: Path, wanted: Sequence[str]) -> list[str]:
    missing = []
    for blob in wanted:
        try:
            archive.add(f"blobs/{blob}", home / "blobs" / blob)
        except FileNotFoundError:
            missing.append(f"blobs/{blob}")
    return missing


def _publish(made: Path, target: Path) -> None:
    """Give the complete file its name. Nothing is ever replaced."""
    try:
        target.hardlink_to(made)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # the file system has no links
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        made.replace(target)
    fsync(target.parent)
