"""Opens and closes the database file: takes its lock, checks its integrity, and migrates its schema.

A file that was not closed properly is checked before it is used again. The caller decides what to do about
damage.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rhetor.errors import StoreDamaged, StoreRefused

from .connection import atomic, connect, is_damage, refusal
from .schema import migrate

MAX_FINDINGS = 20


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise the store's errors instead of those of SQLite and the file system.

    Raises:
        StoreDamaged: the file is damaged.
        StoreRefused: the file cannot be opened or used now.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise StoreDamaged(str(path), [str(error)]) if is_damage(error) else refusal(error) from error
    except OSError as error:
        raise StoreRefused(f"{path} cannot be opened: {error.strerror}") from error


class Ownership:
    """A lock file beside the database, so that only one process opens it. The lock ends with the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            StoreRefused: another process, or another store of this one, has the database open.
        """
        # the database itself is not locked: closing a second descriptor of it would drop SQLite's own locks
        self._file = os.open(
            path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise StoreRefused(f"{path} is in use by another process") from error

    def release(self) -> None:
        os.close(self._file)


def prepare(path: Path) -> None:
    """Create or check the database, migrate it to the newest schema, and mark it as open.

    Raises:
        StoreDamaged: it was not closed properly, and the check found damage.
        StoreRefused: a newer version of the program wrote it.
        OSError, sqlite3.Error: it cannot be opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would apply the umask
    with closing(connect(path)) as connection:
        if not _was_closed(connection):
            _require_sound(path, connection)
        migrate(connection)
        _note(connection, clean=False)


def finish(path: Path) -> None:
    """Mark the database as closed. Closing the last connection moves the write-ahead log into the file.

    Raises:
        sqlite3.Error: it cannot be written now; it will be checked when it is opened next.
    """
    with closing(connect(path)) as connection:
        _note(connection, clean=True)


def _was_closed(connection: sqlite3.Connection) -> bool:
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        return True  # new
    (clean,) = connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
    return bool(clean)


def _require_sound(path: Path, connection: sqlite3.Connection) -> None:
    found = connection.execute(f"PRAGMA quick_check({MAX_FINDINGS})").fetchall()
    if found != [("ok",)]:
        raise StoreDamaged(str(path), [finding for (finding,) in found])


def _note(connection: sqlite3.Connection, *, clean: bool) -> None:
    with atomic(connection, "BEGIN IMMEDIATE"):
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', ?)", (int(clean),))
