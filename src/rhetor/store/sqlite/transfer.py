"""A database of SQLite, and the folder of its blobs, as a whole that is copied from or to."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

from rhetor.store.blobs import ID, private
from rhetor.store.transfer import Section, Values, batches

from .connection import connect
from .file import require_sound
from .schema import migrate
from .snapshot import snapshot

_TABLES = {"meta": "(SELECT * FROM meta WHERE key = 'sealed')"}


class SqliteWhole:
    """Reads a whole store. `blobs`: the folder, which need not exist."""

    def __init__(self, connection: sqlite3.Connection, blobs: Path) -> None:
        self._connection = connection
        self._blobs = blobs

    async def count(self, section: Section) -> int:
        if section.name == "blobs":
            return len(self._names())
        (count,) = self._connection.execute(f"SELECT count(*) FROM {_table(section)}").fetchone()
        return int(count)

    async def read(self, section: Section) -> AsyncIterator[Sequence[Values]]:
        for batch in batches(self._contents() if section.name == "blobs" else self._rows(section)):
            yield batch

    async def version(self) -> int:
        query = "SELECT value FROM meta WHERE key = 'version'"
        (version,) = self._connection.execute(query).fetchone()
        return int(version)

    def _rows(self, section: Section) -> Iterator[Values]:
        columns, order = ", ".join(section.columns), ", ".join(section.order)
        return self._connection.execute(f"SELECT {columns} FROM {_table(section)} ORDER BY {order}")

    def _contents(self) -> Iterator[Values]:
        return ((name, (self._blobs / name).read_bytes()) for name in self._names())

    def _names(self) -> list[str]:
        if not self._blobs.exists():
            return []
        return sorted(path.name for path in self._blobs.iterdir() if ID.fullmatch(path.name))


class NewSqlite(SqliteWhole):
    """Writes a whole store. `finish` makes it one that a hub can open."""

    async def write(self, section: Section, rows: Sequence[Values]) -> None:
        if section.name == "blobs":
            self._blobs.mkdir(mode=0o700, exist_ok=True)
            for name, content in rows:
                _write_private(self._blobs / name, content)
            return
        places = ", ".join("?" * len(section.columns))
        self._connection.executemany(
            f"INSERT INTO {section.name} ({', '.join(section.columns)}) VALUES ({places})", rows
        )

    async def finish(self, version: int) -> None:
        """Index the words, unless messages are sealed, and commit."""
        sealed = self._connection.execute("SELECT value FROM meta WHERE key = 'sealed'").fetchone()
        if sealed is None or sealed[0] == 0:
            self._connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
        self._connection.execute("INSERT INTO meta VALUES ('clean', 1), ('version', ?)", (version,))
        self._connection.execute("COMMIT")


@asynccontextmanager
async def whole(database: Path) -> AsyncIterator[SqliteWhole]:
    """Open a database for reading, without changing it. Blobs are in the folder `blobs` beside it.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with snapshot(database) as connection:
        yield SqliteWhole(connection, database.parent / "blobs")


@asynccontextmanager
async def new(database: Path) -> AsyncIterator[NewSqlite]:
    """Create a database. When the block has ended after `finish`, the file is complete and sound, but not yet
    durable.

    Raises:
        sqlite3.Error: it cannot be written.
        StoreDamaged: what was written is not sound.
    """
    _write_private(database, b"")
    with closing(connect(database)) as connection:
        migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM meta")
        yield NewSqlite(connection, database.parent / "blobs")
        require_sound(database, connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def _table(section: Section) -> str:
    return _TABLES.get(section.name, section.name)


def _write_private(path: Path, content: bytes) -> None:
    with open(path, "xb", opener=private) as file:
        file.write(content)
