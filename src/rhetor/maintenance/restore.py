"""Restores a backup into the state folder of a hub that is not running.

Everything is written and checked in a folder beside the state first. Then that folder gets a name that says
so, and the files change places. If this is interrupted, the next start of the hub finishes it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, cast

from msgspec import Struct

from rhetor.errors import StoreDamaged
from rhetor.home import user_name
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.recovery import Restore, note_restore
from rhetor.sealing.age import NotOpened, OpenedReader, WrongPassphrase, is_sealed_file
from rhetor.sealing.keys_file import NAME
from rhetor.sealing.portable import lend_master, put_into
from rhetor.sealing.ring import Ring
from rhetor.store.base import random_epoch
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.epochs import begin_new_epochs
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.store import SqliteStore

from .archive import DATABASE, Extracted, Header, InvalidBackup, extract
from .folders import fsync, temporary
from .lost_credentials import drop_lost_credentials
from .moved import MARK
from .progress import Progress
from .replacing import READY, finish, unused_stamp


class Restored(Struct, frozen=True):
    """A restored backup. `aside`: the folder with what it replaced; None if there was nothing. `missing`: the
    files that were missing already when it was made. `lost`: credentials that cannot be opened here."""

    header: Header
    missing: tuple[str, ...]
    aside: Path | None
    lost: Sequence[str] = ()


def restore(
    home: Path,
    file: Path,
    progress: Progress,
    passphrase: Callable[[], str] | None = None,
    setting: str = "file",
) -> Restored:
    """Replace the state in a folder that the caller has locked with that of a backup, in new epochs.

    `passphrase`: is called if the file is sealed. `setting`: `encryption.key`.

    Raises:
        InvalidBackup: the file is not a complete and sound backup, or its passphrase is wrong; nothing was
            changed.
        KeysUnavailable: the keys of sealed content cannot be read or stored; nothing was changed.
        StoreRefused: a newer version of rhetor wrote the database in it; nothing was changed.
        OSError: a file cannot be read or written.
    """
    finish(home)
    with temporary(home, "restore-") as folder:
        with file.open("rb") as source:
            extracted = extract(file, _opened(file, source, passphrase), folder, progress.add)
        with _ring(home, folder, extracted, setting) as ring:
            lost = _drop_lost_credentials(file, folder / DATABASE, ring)
            restored = Restore(user_name(), wall_clock(), extracted.header.at)
            _begin(file, folder / DATABASE, ring, restored)
        for path in [*folder.rglob("*"), folder]:
            fsync(path)
        ready = home / READY.format(unused_stamp(home))
        folder.rename(ready)
        fsync(home)
    aside = finish(home)
    (home / MARK).unlink(missing_ok=True)
    return Restored(extracted.header, tuple(extracted.contents.missing), aside, lost)


def _opened(file: Path, source: IO[bytes], passphrase: Callable[[], str] | None) -> IO[bytes]:
    """Return the content of the file, which may be sealed."""
    if not is_sealed_file(source):
        return source
    if passphrase is None:
        raise InvalidBackup(f"{file} is sealed with a passphrase")
    try:
        return cast(IO[bytes], OpenedReader(source, passphrase()))
    except WrongPassphrase as error:
        raise InvalidBackup(f"{file} cannot be opened: the passphrase is wrong") from error
    except NotOpened as error:
        raise InvalidBackup(f"{file} is damaged: {error}") from error


@contextmanager
def _ring(home: Path, folder: Path, extracted: Extracted, setting: str) -> Iterator[Ring]:
    """Return the keys of the restored state: its own, if they were in the backup, or those of `home`."""
    if extracted.keys is None:
        yield Ring(home, setting)
        return
    put_into(folder, extracted.keys, home, setting)
    lent = lend_master(home, folder)
    try:
        yield Ring(folder, setting)
    finally:
        for path in (lent, folder / f"{NAME}.lock"):
            path.unlink(missing_ok=True)


def _drop_lost_credentials(file: Path, database: Path, ring: Ring) -> Sequence[str]:
    try:
        return drop_lost_credentials(database, ring)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise InvalidBackup(f"the database in {file} is damaged: {error}") from error


def _begin(file: Path, database: Path, ring: Ring, restored: Restore) -> None:
    """Check the database, bring it to the newest schema, and begin new epochs."""
    try:
        asyncio.run(_note(database, ring, restored))
    except StoreDamaged as damaged:
        raise InvalidBackup(f"the database in {file} is damaged: {damaged.data['findings'][0]}") from damaged
    with closing(connect(database)) as connection:
        begin_new_epochs(connection, sealing_of(connection, ring), random_epoch)
    for suffix in (".witness", ".lock"):
        database.with_name(f"{database.name}{suffix}").unlink()


async def _note(database: Path, ring: Ring, restored: Restore) -> None:
    store = await SqliteStore.open(database, clock=wall_clock, ring=ring, at_rest=None)
    try:
        await note_restore(store, restored)
    finally:
        await store.aclose()
