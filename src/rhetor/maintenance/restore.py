"""Restores a backup into the state folder of a hub that is not running.

Everything is written and checked in a folder beside the state first. Then that folder gets a name that says
so, and the files change places. If this is interrupted, the next start of the hub finishes it.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from rhetor.errors import StoreDamaged
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.recovery import note_restore
from rhetor.store.base import random_epoch
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.epochs import begin_new_epochs
from rhetor.store.sqlite.store import SqliteStore

from .archive import DATABASE, Header, InvalidBackup, extract
from .folders import fsync, temporary
from .progress import Progress
from .replacing import READY, finish, unused_stamp


class Restored(Struct, frozen=True):
    """A restored backup. `aside`: the folder with what it replaced; None if there was nothing. `missing`: the
    files that were missing already when it was made."""

    header: Header
    missing: tuple[str, ...]
    aside: Path | None


def restore(home: Path, file: Path, progress: Progress) -> Restored:
    """Replace the state in a folder that the caller has locked with that of a backup, in new epochs.

    Raises:
        InvalidBackup: the file is not a complete and sound backup; nothing was changed.
        StoreRefused: a newer version of rhetor wrote the database in it; nothing was changed.
        OSError: a file cannot be read or written.
    """
    finish(home)
    with temporary(home, "restore-") as folder:
        header, contents = extract(file, folder, progress.add)
        _begin(file, folder / DATABASE)
        for path in [*folder.rglob("*"), folder]:
            fsync(path)
        ready = home / READY.format(unused_stamp(home))
        folder.rename(ready)
        fsync(home)
    return Restored(header, tuple(contents.missing), finish(home))


def _begin(file: Path, database: Path) -> None:
    """Check the database, bring it to the newest schema, and begin new epochs."""
    try:
        asyncio.run(_note(database))
    except StoreDamaged as damaged:
        raise InvalidBackup(f"the database in {file} is damaged: {damaged.data['findings'][0]}") from damaged
    with closing(connect(database)) as connection:
        begin_new_epochs(connection, random_epoch)
    for suffix in (".witness", ".lock"):
        database.with_name(f"{database.name}{suffix}").unlink()


async def _note(database: Path) -> None:
    store = await SqliteStore.open(database, clock=wall_clock)
    try:
        await note_restore(store)
    finally:
        await store.aclose()
