"""A small file beside the database that remembers what was committed last, and the file that was closed.

With it, an older database that was put in place is recognized, and a file that nobody has touched since it
was closed need not be checked. It is written after each commit without waiting for the disk: after a power
cut it may be older than the database, but never newer.
"""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path
from typing import Self

import msgspec

RECORD_BYTES = 2048
SUMMED_BYTES = 1 << 30  # of a larger file, no checksum is computed
_PIECE = 1 << 20
log = logging.getLogger(__name__)


class Closed(msgspec.Struct, frozen=True):
    """The database file at a clean close. `stamp`: its inode, size and times. `checksum`: CRC-32; None if the
    file is large."""

    stamp: tuple[int, int, int, int]
    checksum: int | None

    @classmethod
    def of(cls, path: Path) -> Self:
        return cls(stamp_of(path), checksum_of(path))


class Seen(msgspec.Struct, frozen=True):
    """What was committed last: the version of the rows, and the last event. `closed`: None while open."""

    version: int = 0
    stream: str = ""
    epoch: str = ""
    seq: int = 0
    closed: Closed | None = None


class Witness:
    """The file. `seen`: what it had when it was opened; None if there was none."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.witness")
        self._fd: int | None = None
        self._last = self.seen = self._read()

    def open(self) -> None:
        """Begin to write: from now on, the database is open."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write(msgspec.structs.replace(self.seen or Seen(), closed=None))

    def forget(self) -> None:
        """Forget everything, because another history begins."""
        self._last = self.seen = None
        self._path.unlink(missing_ok=True)

    def note(self, version: int, last: tuple[str, str, int] | None) -> None:
        """Remember a commit. `last`: the stream, epoch and number of its last event; None if it has none."""
        before = self._last or Seen()
        stream, epoch, seq = last or (before.stream, before.epoch, before.seq)
        self._write(Seen(version, stream, epoch, seq))

    def close(self, database: Path | None) -> None:
        """Stop writing. `database`: the file if it was closed cleanly, else None."""
        if self._fd is None:
            return
        try:
            if database is not None:
                self._write(msgspec.structs.replace(self._last or Seen(), closed=Closed.of(database)))
        finally:
            os.close(self._fd)
            self._fd = None

    def _write(self, seen: Seen) -> None:
        self._last = seen
        data = msgspec.json.encode(seen).ljust(RECORD_BYTES)
        if self._fd is None or len(data) > RECORD_BYTES:
            return
        try:
            os.pwrite(self._fd, data, 0)
        except OSError as error:
            log.warning("writing the witness of the database failed", extra={"reason": error.strerror})

    def _read(self) -> Seen | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Seen)
        except (OSError, msgspec.DecodeError):
            return None


def stamp_of(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def checksum_of(path: Path) -> int | None:
    """Return the CRC-32 of the file; None if it is large."""
    if path.stat().st_size > SUMMED_BYTES:
        return None
    found = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found = zlib.crc32(piece, found)
    return found
