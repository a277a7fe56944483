"""The text of the configuration file: read whole, and replaced at once or not at all.

A symbolic link stays one: the file that it leads to is replaced. Programs that replace the file, by whatever
path, take turns by a lock beside it, and none overwrites a text that it has not read.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from rhetor.errors import InvalidSettings

from .config_file import MAX_BYTES

NEW_MODE = 0o600


class TextChanged(Exception):
    """Somebody else has changed the file, or is changing it."""


def read_text(path: Path) -> str:
    """Return the text as it is, with its line ends; empty if there is no file.

    Raises:
        InvalidSettings: the file cannot be read, is too large, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise InvalidSettings(f"{path}: the file is larger than {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{path}: {error}") from error


def digest_of(text: str) -> str:
    """Return by which a text is recognized."""
    return hashlib.sha256(text.encode()).hexdigest()


def replace_text(path: Path, before: str, after: str) -> None:
    """Replace the text of the file, which keeps its mode. When this returns, the new text is on the disk; if
    it is interrupted, the file has its old text.

    Raises:
        TextChanged: the file no longer has the text `before`.
        InvalidSettings: the file cannot be replaced.
    """
    place = Path(os.path.realpath(path))
    try:
        with _lock(place.with_name(f".{place.name}.lock")):
            if read_text(place) != before:
                raise TextChanged
            _write(place, after)
    except OSError as error:
        raise InvalidSettings(f"{path}: cannot be changed: {error.strerror}") from error


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock, if the file system has locks.

    Raises:
        TextChanged: another program holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, NEW_MODE)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TextChanged from None
        yield
    finally:
        os.close(fd)


def _write(place: Path, text: str) -> None:
    fresh = place.with_name(f".{place.name}.new")  # one that was interrupted has the same name
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            with contextlib.suppress(FileNotFoundError):
                _take_after(fd, place.stat())
            file.write(text.encode())
            file.flush()
            os.fsync(fd)
        fresh.replace(place)
        _sync(place.parent)
    except BaseException:  # nothing is left behind
        fresh.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _take_after(fd: int, old: os.stat_result) -> None:
    """Give a new file the owner and the mode of the old one."""
    new = os.fstat(fd)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(PermissionError):  # another group, of which this user is not a member
            os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, old.st_mode & 0o7777)
