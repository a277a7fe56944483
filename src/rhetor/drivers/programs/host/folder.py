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
from rhetor.codec.host_frames import FrameBroken
from rhetor.codec.spool_cipher import PLAIN, REPLACED, SEALED, RecordBroken, SpoolCipher, pieces
from rhetor.errors import KeysUnavailable, SealBroken

from .failures import HostLost, OutputUnreadable
from .spec import HostIdentity, identity
from .spool_keys import KEY, SpoolKeys
from .values import Chunk, Exited, exited


class HostFolder:
    """The folder of one host, which may be gone. `keys` open its spool if that is sealed."""

    def __init__(self, path: Path, keys: SpoolKeys | None = None) -> None:
        self.path = path
        self._keys = keys

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
            OutputUnreadable: the output from here on was changed, or its key is missing.
        """
        try:
            for segment in self._segments(offset):
                data, cipher = await asyncio.to_thread(self._load, segment)
                for _, begin, at_ms, piece in pieces(data, cipher):
                    after = begin + len(piece)
                    if after > offset:
                        yield Chunk(after, at_ms, piece[max(offset - begin, 0) :])
                        offset = after
        except (RecordBroken, FrameBroken, SealBroken, KeysUnavailable) as error:
            raise OutputUnreadable(self.path.name, error) from error
        end = self.exited()
        if end is None:
            raise HostLost(self.path.name)
        yield end

    def _segments(self, offset: int) -> list[Path]:
        """Return the segments with output from `offset` on. Each is named after the offset of its first
        byte. One that was being sealed exists twice."""
        names = (path for kind in (PLAIN, SEALED) for path in self.path.glob(f"{kind}.*[0-9]"))
        found = {int(path.suffix[1:]): path for path in names}
        begins = sorted(found)
        before = [index for index, begin in enumerate(begins) if begin <= offset]
        return [found[begin] for begin in begins[before[-1] if before else 0 :]]

    def _load(self, segment: Path) -> tuple[bytes, SpoolCipher | None]:
        """Return the content of a segment, and the cipher of its records.

        Raises:
            KeysUnavailable, SealBroken: the key is missing, or it cannot be opened.
        """
        data = segment.read_bytes()
        if not segment.name.startswith(SEALED):
            return data, None
        key = self._keys.read(self.path) if self._keys is not None else None
        if key is None:
            raise KeysUnavailable(f"{self.path / KEY} is missing")
        return self._completed(segment, data), SpoolCipher(key)

    def _completed(self, segment: Path, data: bytes) -> bytes:
        """Return the content with the record that the host was replacing when it was killed."""
        try:
            begin, at, record = frames.unpack_replaced((self.path / REPLACED).read_bytes())
        except FileNotFoundError:
            return data
        return data[:at] + record + data[at + len(record) :] if begin == int(segment.suffix[1:]) else data


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
