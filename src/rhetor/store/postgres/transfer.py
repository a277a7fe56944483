"""A database of PostgreSQL as a whole that is copied from or to, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import time_ns

from rhetor.domain.secrets import shown_url
from rhetor.errors import StoreRefused
from rhetor.sealing.envelope import ID_END, OVERHEAD
from rhetor.sealing.ring import Ring
from rhetor.store.base import random_epoch
from rhetor.store.sealed import Sealing
from rhetor.store.transfer import Section, Values, batches

from .blobs import MOST_BYTES, is_sealed_blob
from .connection import ERRORS, Connection, close, connect, refusal, require_safe
from .converting import settle
from .history import begin_new_epochs
from .schema import migrate
from .statements import sql
from .words import index_of

FETCHED = 500  # rows at a time
OF_BLOBS = 1  # these are large
# columns that are stored in another way than the section has them
_SELECTED = {
    "incarnations": "id, stream, epoch, present::int, earliest, base, base_seq, sealed_as",
    "texts": "id, inc, seq, turn_id, role, content, at, sealed",
    "sources": "source, bytes",
}
_WRITTEN = {
    "incarnations": (
        "id",
        "stream",
        "epoch",
        "present",
        "earliest",
        "base",
        "base_seq",
        "sealed_as",
        "head",
        "bytes",
    ),
    "sources": ("source", "bytes"),
    "blobs": ("id", "content", "at"),
}


class PostgresWhole:
    """Reads a whole store, in the transaction of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def count(self, section: Section) -> int:
        return int(await self._connection.fetchval(f"SELECT count(*) FROM {_table(section)}"))

    async def read(self, section: Section) -> AsyncIterator[Sequence[Values]]:
        columns = _SELECTED.get(section.name, ", ".join(section.columns))
        query = f"SELECT {columns} FROM {_table(section)} ORDER BY {', '.join(section.order)}"
        cursor = await self._connection.cursor(query)
        while rows := await cursor.fetch(OF_BLOBS if section.name == "blobs" else FETCHED):
            for batch in batches(_read(section, tuple(row)) for row in rows):
                yield batch

    async def version(self) -> int:
        return int(await self._connection.fetchval(sql("highest_version")))


class NewPostgres(PostgresWhole):
    """Writes a whole store."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._has_words = True
        self._keys_of_blobs: set[bytes] = set()

    async def write(self, section: Section, rows: Sequence[Values]) -> None:
        if section.name == "meta":
            self._has_words = not any(value for _, value in rows)
        written = [self._written(section, row) for row in rows]
        if section.name == "texts":  # COPY has no way to write their words
            await self._connection.execute(sql("copy_texts"), *map(list, zip(*written, strict=True)))
            return
        columns = _WRITTEN.get(section.name, section.columns)
        await self._connection.copy_records_to_table(section.name, records=written, columns=columns)

    async def finish(self, version: int) -> None:
        """Count what the streams have, and let new ids and versions follow the copied ones."""
        await self._connection.execute(sql("count_incarnations"))
        if self._keys_of_blobs:  # in files, blobs are not among what the table of keys is about
            await self._connection.execute(sql("add_seals"), sorted(self._keys_of_blobs))
        await self._connection.execute(sql("continue_ids"))
        await self._connection.execute("SELECT setval('row_versions', $1, false)", version + 1)

    def _written(self, section: Section, row: Values) -> Values:
        match section.name:
            case "incarnations":
                return (*row[:3], bool(row[3]), *row[4:], 0, 0)
            case "texts":
                *place, content, at = row
                if isinstance(content, bytes):
                    return (*place, content, at, True, None)
                return (*place, content.encode(), at, False, index_of(content) if self._has_words else None)
            case "blobs":
                return (*self._blob(*row), time_ns() // 1_000_000)
        return row

    def _blob(self, id: str, content: bytes) -> tuple[str, bytes]:
        is_sealed = is_sealed_blob(id, content)
        if len(content) > MOST_BYTES + (OVERHEAD if is_sealed else 0):
            hint = "remove the session that it belongs to"
            raise StoreRefused(
                f"the blob {id} has {len(content):,} bytes; at most {MOST_BYTES:,} fit", hint=hint
            )
        if is_sealed:
            self._keys_of_blobs.add(content[1:ID_END])
        return id, content


@asynccontextmanager
async def whole(url: str) -> AsyncIterator[PostgresWhole]:
    """Open a database for reading. All reads see its state of now.

    Raises:
        StoreRefused: it cannot be read.
    """
    async with _opened(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield PostgresWhole(connection)


@asynccontextmanager
async def new(url: str) -> AsyncIterator[NewPostgres]:
    """Fill a database, whose tables are empty. When the block has ended, everything is durable.

    Raises:
        StoreRefused: it cannot be written; nothing was.
    """
    async with _opened(url) as connection:
        async with connection.transaction():
            yield NewPostgres(connection)
        await connection.execute("ANALYZE")


async def prepare(url: str) -> None:
    """Check the server, and bring the tables to the newest schema.

    Raises:
        StoreRefused: the server is not safe, a hub uses the database, or a newer version wrote it.
    """
    async with _opened(url) as connection:
        await require_safe(url, connection)
        if names := await connection.fetchval(sql("users")):
            raise StoreRefused(f"a hub uses {shown_url(url)} ({names}); stop it with aish shutdown")
        await migrate(connection)


async def renew_epochs(url: str, ring: Ring) -> int:
    """Give every stream a new epoch, because clients may have seen more than the database has. Return how
    many streams there are.

    Raises:
        StoreRefused: as `prepare`.
        KeysUnavailable: the database has sealed content, and its keys cannot be read.
    """
    await prepare(url)
    sealing = Sealing(ring, at_rest=None)
    async with _opened(url) as connection:
        await settle(connection, sealing)
        return await begin_new_epochs(connection, sealing, random_epoch)


async def has_log(url: str) -> bool:
    """Return whether anything is stored. The schema is the newest one."""
    async with _opened(url) as connection:
        return bool(await connection.fetchval(sql("has_log")))


async def note_moved(url: str) -> None:
    """Let no hub open the database again, because its log is elsewhere."""
    async with _opened(url) as connection:
        await connection.execute("INSERT INTO meta VALUES ('moved', 1) ON CONFLICT DO NOTHING")


async def is_moved(url: str) -> bool:
    """Return whether the log is elsewhere."""
    async with _opened(url) as connection:
        return bool(await connection.fetchval("SELECT 1 FROM meta WHERE key = 'moved'"))


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url, "migrate")
    try:
        yield connection
    except ERRORS as error:
        raise refusal(error) from error
    finally:
        await close(connection)


def _table(section: Section) -> str:
    return "(SELECT * FROM meta WHERE key = 'sealed') m" if section.name == "meta" else section.name


def _read(section: Section, row: Values) -> Values:
    if section.name != "texts":
        return row
    *place, content, at, sealed = row
    return (*place, content if sealed else content.decode(), at)
