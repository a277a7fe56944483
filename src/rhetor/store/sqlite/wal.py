"""Checkpoints: moving the write-ahead log into the database file, without stopping the writer.

With `wal_autocheckpoint`, some commits would have to wait for a whole checkpoint. Instead, a thread with its
own connection makes the checkpoints.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Literal

from .connection import connect, is_broken

EVERY = 1.0  # seconds between passive checkpoints while there are commits
IDLE = 5.0  # seconds without a commit after which a large log is truncated
LARGE_PAGES = 16_384  # of 4 KiB: 64 MiB
KEEP_BYTES = 4 << 20  # a smaller log is not truncated: overwriting it is faster than extending a new one
log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoint thread. The writer calls `between` after each batch. `every` and `idle`: seconds."""

    def __init__(
        self, path: Path, *, every: float = EVERY, idle: float = IDLE, large_pages: int = LARGE_PAGES
    ) -> None:
        self._path = path
        self._every = every
        self._idle = idle
        self._large_pages = large_pages
        self._log_file = path.with_name(f"{path.name}-wal")
        self._written = threading.Event()
        self._closing = threading.Event()
        self._restart_due = False
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Wait for a running checkpoint, and end the thread. This blocks."""
        self._closing.set()
        self._written.set()
        self._thread.join()

    def between(self, connection: sqlite3.Connection) -> None:
        """Tell the thread that there was a commit. The writer calls this between two transactions."""
        if not self._written.is_set():  # setting it again would take three locks; if the thread clears it
            self._written.set()  # at this moment, its next checkpoint covers this commit too
        if self._restart_due:
            # A writer that never pauses is always a few pages ahead of the passive checkpoint, so the log
            # would grow without limit. Those few pages are moved here; then the next commit restarts the log.
            self._restart_due = False
            try:
                _checkpoint(connection, "PASSIVE")
            except sqlite3.Error as error:
                log.error("checkpoint failed", extra={"reason": str(error)})

    def _run(self) -> None:
        while not self._closing.is_set():
            written = self._written.wait(self._idle)
            self._written.clear()
            if written:
                self._closing.wait(self._every)  # so that one checkpoint moves many commits
            self._try_step("PASSIVE" if written else "TRUNCATE")
        if self._connection:
            self._connection.close()

    def _try_step(self, how: Literal["PASSIVE", "TRUNCATE"]) -> None:
        try:
            if how == "PASSIVE" or self._log_file.stat().st_size > KEEP_BYTES:
                # Truncating waits for the readers of other processes, and holds up all writers meanwhile, so
                # it does not wait.
                self._connection = self._connection or connect(self._path, busy_timeout=0.0)
                self._restart_due = _checkpoint(self._connection, how) > self._large_pages
        except OSError as error:
            log.debug("no WAL file to check", extra={"reason": str(error)})
        except sqlite3.Error as error:
            # nothing is lost: the rest stays in the log, and the next checkpoint tries again
            log.error("checkpoint failed", extra={"reason": str(error)})
            if self._connection and is_broken(error):
                self._connection.close()
                self._connection = None


def _checkpoint(connection: sqlite3.Connection, how: Literal["PASSIVE", "TRUNCATE"]) -> int:
    """Make a checkpoint, and return the number of pages in the log."""
    _busy, pages, _moved = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
    return int(pages)
