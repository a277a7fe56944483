"""Connections to the database file, and what its errors mean for a caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rhetor.errors import StoreRefused

BUSY_TIMEOUT = 5.0  # seconds
PREPARED = 256  # statements kept ready by a connection
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# what only a new connection recovers from
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}) | _DAMAGED


def connect(
    path: Path, *, query_only: bool = False, busy_timeout: float = BUSY_TIMEOUT
) -> sqlite3.Connection:
    """A connection in which transactions begin and end by statement, for one thread at a time.

    In WAL mode with `synchronous=FULL`: a COMMIT that returned is on the disk. Checkpoints are made by who
    is in charge of them, never in the middle of a commit.
    """
    connection = sqlite3.connect(
        path,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=PREPARED,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA query_only = {int(query_only)}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def atomic(connection: sqlite3.Connection, begin: str = "BEGIN") -> Iterator[None]:
    """All statements inside see one state of the database, and are committed together or not at all."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def refusal(error: sqlite3.Error) -> StoreRefused:
    """What a caller is told when the database does not answer."""
    reason = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return StoreRefused(f"the database cannot be used now: {error}", reason=reason)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it says that the file is not sound."""
    return _primary(error) in _DAMAGED


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the connection that raised it should be opened anew."""
    return _primary(error) in _BROKEN or isinstance(error, sqlite3.ProgrammingError)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether a lock was in the way, so that nothing was written."""
    return _primary(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _primary(error: sqlite3.Error) -> int:
    # extended codes (SQLITE_IOERR_FSYNC …) keep the primary one in their lowest byte
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
