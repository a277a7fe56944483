"""Reads a database that another process may be writing: one state of it, without changing the file."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .connection import BUSY_TIMEOUT

COPIED_PAGES = 1024  # between two reports of progress


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database for reading. All reads see its state of now, and no writer waits for them.

    The connection is read-only, because closing a writing one could move the write-ahead log into the file,
    which then would differ from the one that the hub closed.

    Raises:
        sqlite3.Error: it cannot be read.
        UnicodeDecodeError: it is damaged, and SQLite quotes a damaged name.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    source = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT)
    with closing(source):
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the state is that of the first read
        yield source


def copy(source: sqlite3.Connection, target: Path, progress: Callable[[int], None]) -> None:
    """Copy the database of a snapshot to a new file, which is not yet durable. `progress` is called with the
    number of further bytes that are copied.

    Raises:
        OSError: the file cannot be written.
        sqlite3.Error: the database cannot be read.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    (page,) = source.execute("PRAGMA page_size").fetchone()
    left: int | None = None

    def report(_status: int, remaining: int, total: int) -> None:
        nonlocal left
        progress(((total if left is None else left) - remaining) * page)
        left = remaining

    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as made:
            made.execute("PRAGMA synchronous = OFF")
            source.backup(made, pages=COPIED_PAGES, progress=report)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
