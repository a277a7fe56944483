"""Reads what a host has left in its folder: its identity, how its program ended, and the spool.

It is for hosts that are gone; a running host is asked over its socket. The module writes nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from rhetor.codec import host_frames as frames

from .failures import HostLost
from .spec import HostIdentity, identity
from .values import Chunk, Exited, exited


class HostFolder:
    """The folder of one host, which may be gone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def identity(self) -> HostIdentity | None:
        """Return the identity of the host; None if the host failed before it recorded one."""
        try:
            return identity(self.path.name, (self.path / "identity").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def exited(self) -> Exited | None:
        """Return how the program ended; None if its host has not recorded that."""
        try:
            return exited((self.path / "exit").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    async def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        """Yield the output that is left from `offset` on, then the program's end.

        Raises:
            HostLost: after the last piece, if it is not known how the program ended.
        """
        for segment in self._segments(offset):
            data = await asyncio.to_thread(segment.read_bytes)
            for _, begin, at_ms, piece in frames.records(data):
                after = begin + len(piece)
                if after > offset:
                    yield Chunk(after, at_ms, piece[max(offset - begin, 0) :])
                    offset = after
        end = self.exited()
        if end is None:
            raise HostLost(self.path.name)
        yield end

    def _segments(self, offset: int) -> list[Path]:
        """Return the segments with output from `offset` on. Each is named after the offset of its first
        byte."""
        segments = sorted(self.path.glob("out.*"))
        before = [index for index, path in enumerate(segments) if int(path.suffix[1:]) <= offset]
        return segments[before[-1] if before else 0 :]


def start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None if it has ended (or is a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # the name, in parentheses, may contain anything
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id() -> str:
    """Return the id of the machine's current boot. Pids and start times are comparable only within a boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def runs(identity: HostIdentity) -> bool:
    """Return whether the host is running, or stopped."""
    return identity.boot_id == boot_id() and start_time(identity.host_pid) == identity.host_start


def kill(identity: HostIdentity) -> None:
    """Kill a host if it is running. Its guard then kills the program and all its descendants."""
    if not runs(identity):
        return
    guard = parent(identity.host_pid)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(identity.host_pid, signal.SIGKILL)
        if guard is not None and guard > 1:
            os.kill(guard, signal.SIGCONT)  # it may be stopped too


def parent(pid: int) -> int | None:
    """Return the pid of the parent process; None if the process has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def processes_of(session: int) -> list[int]:
    """Return the pids of the processes in a session (setsid)."""
    found = []
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            if os.getsid(pid) == session:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found
