"""The folder that contains a hub's state, its lock, and the paths of its sockets."""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import pwd
import socket
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path

from rhetor.errors import InvalidSettings

LONGEST_SOCKET_PATH = 100
SCHEDULES = "schedules"  # the file with the number of schedules that will run
PORT = "port"  # the file with the port that the settings named and the one that the last hub got instead
log = logging.getLogger(__name__)
_LONGEST_SOCKET_NAME = 60  # bytes that the path of a host's socket adds to the folder's, and some more


def state_home(environment: Mapping[str, str]) -> Path:
    """Return the folder that contains all state: RHETOR_HOME, or `rhetor` in the user's state folder."""
    if home := environment.get("RHETOR_HOME"):
        return Path(os.path.abspath(os.path.expanduser(home)))  # noqa: PTH100, PTH111  # as in `aish`
    if base := environment.get("XDG_STATE_HOME"):
        return Path(base) / "rhetor"
    user = environment.get("HOME") or _home_in_passwd()
    return Path(user) / ".local/state/rhetor" if user else Path(f"/var/tmp/rhetor-{os.getuid()}")


def _home_in_passwd() -> str:
    """Return the user's home folder, or an empty string if the user has no entry, as in some containers."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


class HomeTaken(Exception):
    """Another hub holds the lock of this folder."""


class Home:
    """A hub's folder, with mode 0700. Sockets whose paths would be too long there are in a folder under
    XDG_RUNTIME_DIR, a variable of `environment`, or /tmp. The file `runtime` names that folder, for callers
    and later hubs with another XDG_RUNTIME_DIR."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._locks: list[int] = []

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
        recorded = self._recorded_runtime()
        if recorded is not None:
            return recorded
        given = self._environment.get("XDG_RUNTIME_DIR")
        name = f"rhetor-{os.getuid()}-{zlib.crc32(os.fsencode(os.path.realpath(self.folder))):08x}"
        return Path(given if given and _is_own_folder(Path(given)) else "/tmp") / name

    def _recorded_runtime(self) -> Path | None:
        """Return the folder in the file `runtime`; None if there is none, or it is gone since a reboot."""
        try:
            recorded = Path(os.fsdecode((self.folder / "runtime").read_bytes().rstrip(b"\n")))
        except OSError:
            return None
        return recorded if recorded.is_absolute() and _is_own_folder(recorded) else None

    def lock(self) -> None:
        """Lock the folder until `release` or the end of this process; write the process's pid to `hub.pid`.

        The folder itself is locked too, because anyone may remove `hub.pid` while the hub runs. A socket that
        accepts connections belongs to a running hub, whatever the locks say (some network file systems have
        no locks on folders).

        Raises:
            HomeTaken: another hub holds one of the locks, or listens on the socket.
        """
        try:
            self._hold(os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), optional=True)
            pid_file = os.open(self.folder / "hub.pid", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._hold(pid_file)
            if accepts_connections(self.socket):
                raise HomeTaken(str(self.folder))
        except HomeTaken:
            self.release()
            raise
        os.ftruncate(pid_file, 0)
        os.write(pid_file, f"{os.getpid()}\n".encode())
        if len(os.fsencode(self.folder)) > LONGEST_SOCKET_PATH - _LONGEST_SOCKET_NAME:
            self._record_runtime()

    def _record_runtime(self) -> None:
        runtime = self.runtime
        _private_folder(runtime)
        written = self.folder / "runtime.new"
        written.write_bytes(os.fsencode(runtime) + b"\n")
        written.replace(self.folder / "runtime")

    def release(self) -> None:
        """Release the locks."""
        while self._locks:
            os.close(self._locks.pop())

    def _hold(self, fd: int, *, optional: bool = False) -> None:
        self._locks.append(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeTaken(str(self.folder)) from None
        except OSError:
            if not optional:
                raise


def accepts_connections(path: Path) -> bool:
    """Return whether a process listens on the Unix socket at `path`, even if it does not answer now."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:  # its queue of connections is full
            return True
        except OSError:
            return False
    return True


def _is_own_folder(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def note_schedules(folder: Path, number: int) -> None:
    """Store how many schedules will run, for callers that find no hub."""
    file = folder / SCHEDULES
    try:
        if number:
            file.write_text(f"{number}\n", encoding="utf-8")
        else:
            file.unlink(missing_ok=True)
    except OSError as error:  # it only informs
        log.warning("the number of schedules was not stored", extra={"reason": str(error)})


def last_port(folder: Path, named: int) -> int | None:
    """Return the port that the last hub got although the settings named another one; None if it got that one,
    or they name another one now."""
    try:
        before, got = (folder / PORT).read_text(encoding="utf-8").split()
        return int(got) if int(before) == named else None
    except (OSError, ValueError):
        return None


def note_port(folder: Path, named: int, got: int) -> None:
    """Store the port that a hub got, so that the next one takes it again and pages that are open find it."""
    file = folder / PORT
    try:
        if got == named:
            file.unlink(missing_ok=True)
        else:
            file.write_text(f"{named} {got}\n", encoding="utf-8")
    except OSError as error:  # the hub runs without it, too
        log.warning("the port was not stored", extra={"reason": str(error)})


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


def user_name() -> str:
    """Return the name of this user; `uid-1000` if the user has none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
