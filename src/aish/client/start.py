"""Starts the hub, only once even if several shells do it at the same time.

A lock makes the shells take turns. The first one starts the hub and waits until it listens; the others then
connect to it. The hub runs in a session of its own, and keeps none of the shell's descriptors or folders.
"""

# ruff: noqa: PTH103
import fcntl
import os
import select
import sys
from time import monotonic

from aish.client.connection import connect
from aish.exits import UNREACHABLE, Failure
from aish.output import open_standard_descriptors, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterator
    from typing import NoReturn

START_TIMEOUT = 15.0  # seconds
_SHOWN_BYTES = 2000
_SHOWN_LINES = 8
_NOTICE_BYTES = 1 << 16


def start_hub(home: str) -> "socket":
    """Start the hub of `home`, unless another shell has just started it, and return a connection to it.

    Raises:
        Failure: the hub does not start, or does not listen within `START_TIMEOUT` seconds. The message
            contains the end of its log.
    """
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        lock = os.open(home + "/start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Failure(f"cannot start the hub in {home}: {error.strerror}", UNREACHABLE) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _running(home) or _start(home)
    finally:
        os.close(lock)


def _running(home: str) -> "socket | None":
    try:
        return connect(home)
    except OSError:
        return None


def _start(home: str) -> "socket":
    log_path = home + "/hub.log"
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    log_begin = os.lseek(log, 0, os.SEEK_END)
    ready, stdout = os.pipe()
    try:
        _spawn(home, stdout, log)
    finally:
        os.close(stdout)
        os.close(log)
    try:
        listens = _first_line(ready, monotonic() + START_TIMEOUT)
    finally:
        os.close(ready)
    connection = _running(home) if listens else None
    if connection is None:
        end = _log_end(log_path, log_begin)
        hint = "correct the configuration with: aish config edit" if "/config.yaml: " in end else ""
        raise Failure(f"the hub did not start; see {log_path}\n{end}".rstrip(), UNREACHABLE, hint=hint)
    _show_notices(log_path, log_begin)
    return connection


def _show_notices(path: str, begin: int) -> None:
    """Show what the hub tells its user at its start. Its other lines are JSON."""
    with open(path, "rb") as log:
        log.seek(begin)
        for line in log.read(_NOTICE_BYTES).decode("utf-8", "replace").splitlines():
            if line.startswith("rhetor: "):
                say(line)


def _spawn(home: str, stdout: int, stderr: int) -> None:
    """Start the hub as a process of its own. An intermediate child exits at once, so that the hub is not a
    child of this shell and leaves no zombie in a shell that runs for days."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _become_hub(home, stdout, stderr)
    finally:
        os._exit(0)


def _become_hub(home: str, stdout: int, stderr: int) -> "NoReturn":
    os.chdir("/")
    descriptors = (os.open(os.devnull, os.O_RDONLY), stdout, stderr)
    # copies above 2, because a caller whose own 0 to 2 are closed may have got these numbers for the pipe
    for number, copy in enumerate([fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in descriptors]):
        os.dup2(copy, number)
    command = [sys.executable, "-m", "rhetor", "serve", "--auto"]
    os.execve(sys.executable, command, {**os.environ, "RHETOR_HOME": home})


def _first_line(pipe: int, deadline: float) -> bool:
    """Whether a complete line arrives before the pipe closes and before the deadline."""
    line = b""
    while b"\n" not in line:
        if not select.select([pipe], [], [], max(deadline - monotonic(), 0))[0]:
            return False
        piece = os.read(pipe, 4096)
        if not piece:
            return False
        line += piece
    return True


def _log_end(path: str, begin: int) -> str:
    """Return the last lines that this start of the hub wrote."""
    with open(path, "rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(begin, size - _SHOWN_BYTES))
        lines = log.read().decode("utf-8", "replace").splitlines()
    shown = list(_without_tracebacks(lines))
    # if there is a sentence that says why, the messages of the log are left out
    shown = [line for line in shown if not line.startswith('{"at":')] or shown
    return "\n".join(f"  {line}" for line in shown[-_SHOWN_LINES:])


def _without_tracebacks(lines: "list[str]") -> "Iterator[str]":
    """Yield the lines, and of a traceback only the last one, which names the error."""
    in_traceback = False
    for line in lines:
        in_traceback = line.startswith("Traceback (") or (in_traceback and (line[:1] == " " or not line))
        if not in_traceback:
            yield line


def main() -> int:
    """Run `python -m aish.client.start HOME`, for programs that cannot fork; return 0 if the hub listens."""
    open_standard_descriptors()
    try:
        start_hub(sys.argv[1]).close()
    except Failure as failure:
        print(failure.line, file=sys.stderr)  # noqa: T201
        return failure.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
