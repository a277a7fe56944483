"""Opens and closes the database file: takes its lock, checks its integrity, and migrates its schema.

A file that was not closed properly, or that was touched since, is checked before it is used again. The caller
decides what to do about damage.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rhetor.errors import StoreDamaged, StoreRefused
from rhetor.store.sealed import Sealing

from .connection import atomic, connect, is_damage, refusal
from .contents import require_readable
from .schema import migrate
from .sealed import require_keys
from .witness import Closed, Seen, checksum_of, stamp_of

MAX_FINDINGS = 20
THOROUGH_BYTES = 512 << 20


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
    except UnicodeDecodeError as error:  # SQLite quotes a damaged name in its message
        raise StoreDamaged(str(path), ["a name in the schema is not valid UTF-8"]) from error
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
            hint = "end the hub that uses it (aish shutdown), or set another RHETOR_HOME"
            raise StoreRefused(f"{path} is in use by another process", hint=hint) from error

    def release(self) -> None:
        os.close(self._file)


def prepare(path: Path, seen: Seen | None, sealing: Sealing) -> str | None:
    """Create or check the database, migrate it to the newest schema, and mark it as open.

    `seen`: what the witness remembers. Return a sentence for the user if the history in the file may not be
    the one that clients have seen.

    Raises:
        StoreDamaged: the check found damage.
        StoreRefused: a newer version of the program wrote it.
        KeysUnavailable: it has sealed content, and the keys for it cannot be read.
        OSError, sqlite3.Error: it cannot be opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would apply the umask
    untouched = seen is not None and seen.closed is not None and seen.closed.stamp == stamp_of(path)
    altered = not untouched and seen is not None and seen.closed is not None and is_altered(path, seen.closed)
    with closing(connect(path)) as connection:
        is_new = connection.execute("PRAGMA user_version").fetchone() == (0,)
        if not untouched or not _was_closed(connection):
            require_sound(path, connection)
        require_keys(connection, sealing)
        if altered:
            require_readable(path, connection, sealing)
        migrate(connection)
        _note(connection, clean=False)
        if is_new or seen is None:
            return None
        if not has_seen(connection, seen):
            return (
                f"{path} is older than it was when the hub stopped: clients read everything again; if that "
                "was not intended, stop the hub and put the newest copy in place"
            )
        if altered:
            return (
                f"{path} was changed while the hub was stopped: clients read everything again; if that was "
                "not intended, stop the hub and put a backup in place"
            )
        return None


def is_altered(path: Path, closed: Closed) -> bool:
    """Return whether the file is another one than the one that was closed, not only a copy of it."""
    return closed.checksum is None or checksum_of(path) != closed.checksum


def has_seen(connection: sqlite3.Connection, seen: Seen) -> bool:
    """Return whether the database has everything up to what was committed last."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    if row is None or row[0] < seen.version:
        return False
    if not seen.epoch:
        return True
    query = (
        "SELECT stream, max(earliest - 1, coalesce((SELECT max(seq) FROM events WHERE inc = i.id), 0))"
        " FROM incarnations i WHERE epoch = ?"
    )
    found = connection.execute(query, (seen.epoch,)).fetchone()
    return found is not None and found[0] == seen.stream and found[1] >= seen.seq


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


def require_sound(path: Path, connection: sqlite3.Connection) -> None:
    """Check the integrity of the database at `path`.

    Raises:
        StoreDamaged: the check found damage.
    """
    # the quick check does not compare indexes with their tables, so only large files get it
    how = "integrity_check" if path.stat().st_size <= THOROUGH_BYTES else "quick_check"
    found = connection.execute(f"PRAGMA {how}({MAX_FINDINGS})").fetchall()
    if found != [("ok",)]:
        raise StoreDamaged(str(path), [finding for (finding,) in found])


def _note(connection: sqlite3.Connection, *, clean: bool) -> None:
    with atomic(connection, "BEGIN IMMEDIATE"):
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', ?)", (int(clean),))
