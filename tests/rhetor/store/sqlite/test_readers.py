"""A failed read leaves nothing behind in its connection, which later reads use."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from rhetor.errors import SealBroken, StoreRefused
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.readers import Readers

pytestmark = pytest.mark.anyio


def busy() -> sqlite3.Error:
    error = sqlite3.OperationalError("another program holds the lock")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@asynccontextmanager
async def one_reader(folder: Path) -> AsyncIterator[tuple[Readers, sqlite3.Connection]]:
    """A pool with one connection, and the connection of the writer."""
    with closing(connect(folder / "hub.db")) as writer:
        writer.execute("CREATE TABLE found (number)")
        writer.executemany("INSERT INTO found VALUES (?)", [(1,), (2,), (3,)])
        readers = Readers(folder / "hub.db", threads=1)
        readers.open()
        try:
            yield readers, writer
        finally:
            readers.close()


def count(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM found").fetchone()
    return int(found)


@pytest.mark.parametrize("failure", [busy, SealBroken], ids=["busy", "damaged content"])
@pytest.mark.parametrize("how", ["run", "point"])
async def test_a_read_after_a_failed_one_sees_what_was_written_since(
    tmp_path: Path, failure: Callable[[], Exception], how: str
) -> None:
    def fails(connection: sqlite3.Connection) -> None:
        cursor = connection.execute("SELECT number FROM found")
        assert next(cursor) == (1,)
        raise failure()

    async with one_reader(tmp_path) as (readers, writer):
        # the failure is kept, as by whoever logs it, and its traceback refers to the cursor
        with pytest.raises((StoreRefused, SealBroken)) as kept:
            await getattr(readers, how)(fails)
        writer.execute("INSERT INTO found VALUES (4)")
        assert await readers.run(count) == await readers.point(count) == 4, kept
