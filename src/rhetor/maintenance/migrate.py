"""Brings the database of a stopped hub to the schema of this version, as the next start of the hub would."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from rhetor.hub.core.ids import wall_clock
from rhetor.sealing.ring import Ring
from rhetor.store.sqlite.file import translated
from rhetor.store.sqlite.schema import MIGRATIONS
from rhetor.store.sqlite.store import SqliteStore


class Migrated(Struct, frozen=True):
    """The numbers of the schema before and after."""

    before: int
    after: int


def migrate(database: Path, ring: Ring) -> Migrated:
    """Migrate the database in a folder that the caller has locked. If it has the newest schema, nothing is
    changed.

    Raises:
        KeysUnavailable: the database has sealed content, and its keys cannot be read.
        StoreDamaged: the database is damaged.
        StoreRefused: it is in use, cannot be opened, or a newer version wrote it.
    """
    before = schema_of(database)
    if before < len(MIGRATIONS):
        asyncio.run(_open_once(database, ring))
    return Migrated(before, max(before, schema_of(database)))


def schema_of(database: Path) -> int:
    """Return the number of the database's schema.

    Raises:
        StoreDamaged, StoreRefused: as `migrate`.
    """
    place = f"{database.absolute().as_uri()}?mode=ro"  # not to change a database of a newer version
    with translated(database), closing(sqlite3.connect(place, uri=True)) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return int(schema)


async def _open_once(database: Path, ring: Ring) -> None:
    store = await SqliteStore.open(database, clock=wall_clock, ring=ring, at_rest=None)
    await store.aclose()
