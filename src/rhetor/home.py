"""The folder that a hub's state lives in, its lock, and where its sockets are."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from rhetor.errors import InvalidSettings

LONGEST_SOCKET_PATH = 100


class HomeTaken(Exception):
    """Another hub holds this home's lock."""


class Home:
    """A hub's folder, 0700. `environment` says where its socket lies when the folder's path is too long."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make the folders that are missing.

        Raises:
            InvalidSettings: they cannot be made or written, or others may enter them.
        """
        for folder in dict.fromkeys((self.folder, self.socket.parent)):
            _private_folder(folder)

    @property
    def socket(self) -> Path:
        """Where the Unix socket is: in the folder, or, where that path is too long for the kernel, in a
        folder of the runtime directory that is named after it."""
        near = self.folder / "hub.sock"
        return near if len(os.fsencode(near)) <= LONGEST_SOCKET_PATH else self.runtime / "hub.sock"

    @property
    def runtime(self) -> Path:
        """The folder of the runtime directory for sockets whose paths would be too long here."""
        base = self._environment.get("XDG_RUNTIME_DIR") or "/tmp"
        name = f"rhetor-{os.getuid()}-{zlib.crc32(os.fsencode(os.path.realpath(self.folder))):08x}"
        return Path(base) / name

    def lock(self) -> None:
        """Hold the home for this process's life; its pid is in `hub.pid`.

        Raises:
            HomeTaken: another hub holds it.
        """
        fd = os.open(self.folder / "hub.pid", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise HomeTaken(str(self.folder)) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._lock = fd

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid():
            raise InvalidSettings(f"{folder}: it belongs to another user")
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise InvalidSettings(
            f"{folder}: {error.strerror}; choose another folder with RHETOR_HOME"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidSettings(f"{folder}: cannot be written; choose another folder with RHETOR_HOME")
