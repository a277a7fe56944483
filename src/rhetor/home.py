"""The folder that contains a hub's state, its lock, and the paths of its sockets."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from rhetor.errors import InvalidSettings

LONGEST_SOCKET_PATH = 100


class HomeTaken(Exception):
    """Another hub holds the lock of this folder."""


class Home:
    """A hub's folder, with mode 0700. Sockets whose paths would be too long there are in a folder under
    XDG_RUNTIME_DIR, a variable of `environment`, or /tmp."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._lock: int | None = None

    def prepare(self) -> None:
        """Create the missing folders.

        Raises:
            InvalidSettings: a folder cannot be created or written, or belongs to another user.
        """
        for folder in dict.fromkeys((self.folder, self.socket.parent)):
            _private_folder(folder)

    @property
    def socket(self) -> Path:
        """The path of the Unix socket: in the folder, or in `runtime` if the path in the folder is too long
        for the kernel."""
        near = self.folder / "hub.sock"
        return near if len(os.fsencode(near)) <= LONGEST_SOCKET_PATH else self.runtime / "hub.sock"

    @property
    def runtime(self) -> Path:
        """The folder for sockets whose paths would be too long. Its name is derived from the hub's folder."""
        base = self._environment.get("XDG_RUNTIME_DIR") or "/tmp"
        name = f"rhetor-{os.getuid()}-{zlib.crc32(os.fsencode(os.path.realpath(self.folder))):08x}"
        return Path(base) / name

    def lock(self) -> None:
        """Lock the folder until `release` or the end of this process; write the process's pid to `hub.pid`.

        Raises:
            HomeTaken: another hub holds the lock.
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
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.getuid():
            raise InvalidSettings(
                f"{folder}: this folder belongs to another user; choose another folder with RHETOR_HOME"
            )
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise InvalidSettings(
            f"{folder}: {error.strerror}; choose another folder with RHETOR_HOME"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidSettings(f"{folder}: not writable; choose another folder with RHETOR_HOME")
