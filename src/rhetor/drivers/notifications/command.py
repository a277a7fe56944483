"""Runs a program for each notification."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

import msgspec

from rhetor.domain.notification import NotDelivered, Notification, Recipient

from .webhook import missing

SECONDS = 20.0
STDERR_BYTES = 2048  # of stderr that are read for the reason of a failure
# what the program gets of the hub's environment: enough to find programs, and the user's desktop
INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
)


class Command(msgspec.Struct, frozen=True):
    """Runs `argv` without a shell. stdin has the notification as JSON, and variables such as RHETOR_TEXT have
    its parts. The program also gets the variable `secret_env`. It must end with 0."""

    recipient: Recipient
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    secret_env: str | None = None

    def fault(self) -> NotDelivered | None:
        return missing(self.environment, self.secret_env) or not_found(self.argv[0], self.environment)

    async def send(self, notification: Notification) -> None:
        names = (*INHERITED, *([self.secret_env] if self.secret_env else ()))
        inherited = {name: self.environment[name] for name in names if name in self.environment}
        variables = {**inherited, **variables_of(notification)}
        await run(self.argv, variables, self.folder, msgspec.json.encode(notification) + b"\n")


def variables_of(notification: Notification) -> dict[str, str]:
    """Return the variables that describe a notification. Those without a value are left out."""
    found = {
        "RHETOR_EVENT": notification.type,
        "RHETOR_NOTIFICATION_ID": notification.id,
        "RHETOR_AT": notification.at,
        "RHETOR_TEXT": notification.text,
        "RHETOR_PEER": notification.peer,
        "RHETOR_SESSION_ID": notification.session_id,
        "RHETOR_PLAN_ID": notification.plan_id,
        "RHETOR_TURN_ID": notification.turn_id,
    }
    return {name: value for name, value in found.items() if value}


def not_found(program: str, environment: Mapping[str, str]) -> NotDelivered | None:
    """Return the failure if there is no such program."""
    if shutil.which(program, path=environment.get("PATH", "")) is not None:
        return None
    return NotDelivered(f"no program {program} on the PATH of the hub")


async def run(argv: Sequence[str], environment: Mapping[str, str], folder: str, stdin: bytes = b"") -> None:
    """Run a program in a process group of its own, which is killed after `SECONDS`, or if this is cancelled.
    What the program leaves running when it ends continues.

    Raises:
        NotDelivered: it cannot be started, does not end in time, or does not end with 0.
    """
    if (fault := not_found(argv[0], environment)) is not None:
        raise fault
    program = shutil.which(argv[0], path=environment.get("PATH", "")) or argv[0]
    with TemporaryFile() as stderr:  # a pipe would stay open for as long as what the program leaves running
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *argv[1:],
                stdin=PIPE if stdin else DEVNULL,
                stdout=DEVNULL,
                stderr=stderr,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise NotDelivered(f"{argv[0]} cannot be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(SECONDS):
                await _end(process, stdin)
        except TimeoutError:
            raise NotDelivered(f"{argv[0]} did not end within {SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            code = process.returncode
            how = f"exited with {code}" if code > 0 else f"was ended by signal {-code}"
            said = _last_line(stderr)
            raise NotDelivered(f"{argv[0]} {how}" + (f": {said}" if said else ""))


async def _end(process: Process, stdin: bytes) -> None:
    """Write its stdin, and wait until the program has ended."""
    if process.stdin is not None:
        # it need not read; if it has ended, uvloop raises RuntimeError
        with suppress(OSError, RuntimeError):
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()
    await process.wait()


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - STDERR_BYTES))
    lines = file.read(STDERR_BYTES).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
