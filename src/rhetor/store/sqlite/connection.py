"""Opens connections to the database file, and classifies SQLite's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rhetor.errors import StoreRefused

BUSY_TIMEOUT = 5.0  # seconds
PREPARED = 256  # statements kept ready by a connection
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# errors after which the connection must be reopened
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}) | _DAMAGED


def connect(
    path: Path, *, query_only: bool = False, busy_timeout: float = BUSY_TIMEOUT
) -> sqlite3.Connection:
    """Return a new connection for one thread at a time. Statements begin and end its transactions.

    The database is in WAL mode with `synchronous=FULL`, so when COMMIT returns, the transaction is on the
    disk. Checkpoints never run inside a commit, but in a thread of their own.
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
        if not query_only:
            # what a statement needs to undo itself; otherwise most commits would create and remove a file
            connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def atomic(connection: sqlite3.Connection, begin: str = "BEGIN") -> Iterator[None]:
    """Run the block in a transaction: all or none of its statements are committed, and all see one state."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # whatever ends the block, nothing of it is committed
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def refusal(error: sqlite3.Error) -> StoreRefused:
    """Return the error to raise if the database does not work."""
    reason = getattr(error, "sqlite_errorname", None) or type(error).__name__
    data = {"hint": "end the program that has locked it, and repeat the request"} if is_busy(error) else {}
    return StoreRefused(f"the database is not available: {error}", reason=reason, **data)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error means that the file is damaged."""
    return _primary(error) in _DAMAGED


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the connection that raised the error should be reopened."""
    return _primary(error) in _BROKEN or isinstance(error, sqlite3.ProgrammingError)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program held a lock, so that nothing was written."""
    return _primary(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _primary(error: sqlite3.Error) -> int:
    # extended codes (SQLITE_IOERR_FSYNC …) keep the primary one in their lowest byte
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
