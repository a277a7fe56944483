"""`rhetor` with a database that fails at random while the file `faults` is in its home.

The faults are those of SQLite itself: another program holds the lock, the disk is full, a read or a sync
fails, or a commit takes long. They hit the statements of the real store.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rhetor.cli import main
from rhetor.store.sqlite import connection

FAULTS = Path(os.environ["RHETOR_HOME"]) / "faults"
LOOK_SECONDS = 0.05
LONGEST_STALL = 1.5
# percentages of failing statements by error
OF_BEGIN = {sqlite3.SQLITE_BUSY: 15}
OF_COMMIT = {sqlite3.SQLITE_FULL: 10, sqlite3.SQLITE_IOERR: 5, sqlite3.SQLITE_BUSY: 5}
OF_READ = {sqlite3.SQLITE_IOERR: 2, sqlite3.SQLITE_BUSY: 1}
_seen = [0.0, False]


class Unreliable(sqlite3.Connection):
    def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
        if _is_time():
            _strike(sql)
        return super().execute(sql, *more)


def _is_time() -> bool:
    now = time.monotonic()
    if now - _seen[0] > LOOK_SECONDS:
        _seen[:] = now, FAULTS.exists()
    return bool(_seen[1])


def _strike(sql: str) -> None:
    if sql == "COMMIT" and threading.current_thread().name == "store-writer" and random.random() < 0.05:
        time.sleep(random.uniform(0, LONGEST_STALL))
    if sql == "COMMIT":
        _fail(OF_COMMIT)
    elif sql == "BEGIN IMMEDIATE":
        _fail(OF_BEGIN)
    elif sql.lstrip().startswith("SELECT"):
        _fail(OF_READ)


def _fail(shares: dict[int, int]) -> None:
    drawn = random.uniform(0, 100)
    for code, share in shares.items():
        drawn -= share
        if drawn < 0:
            error = sqlite3.OperationalError("a fault of the test")
            error.sqlite_errorcode, error.sqlite_errorname = code, f"SQLITE_{code}"
            raise error


class _Sqlite:
    """sqlite3, with connections that fail."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)

    def connect(self, *given: Any, **options: Any) -> sqlite3.Connection:
        return sqlite3.connect(*given, **options, factory=Unreliable)


if __name__ == "__main__":
    connection.sqlite3 = _Sqlite()  # type: ignore[assignment, attr-defined]
    sys.exit(main())
