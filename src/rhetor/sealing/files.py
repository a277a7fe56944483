"""Files with secrets: private ones are read, and new content replaces the old durably or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rhetor.errors import KeysUnavailable


def read_private(path: Path) -> bytes | None:
    """Return the content of a file; None if there is no such file.

    Raises:
        KeysUnavailable: other users have access to it, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid():
                raise KeysUnavailable(f"{path} belongs to another user; it must be yours")
            if status.st_mode & 0o077:
                raise KeysUnavailable(f"{path}: other users have access to it; run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysUnavailable(f"{path} cannot be read: {error.strerror}") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file with mode 0600. When this returns, the content is on the disk; if it is interrupted, the
    file has its old content.

    Raises:
        KeysUnavailable: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(fd)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeysUnavailable(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on `path` for the block; other processes, and other holders in this one, wait.

    Raises:
        KeysUnavailable: the lock cannot be taken.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeysUnavailable(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
