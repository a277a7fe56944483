"""What a host leaves in its folder, read when nobody serves it any more: identity, exit, spool.

It only reads. A running host is asked over its socket.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from rhetor.codec import host_frames as frames

from .failures import HostLost
from .spec import HostIdentity, identity
from .values import Chunk, Exited, exited


class HostFolder:
    """The folder of one host."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def identity(self) -> HostIdentity | None:
        """Who the host is or was; None where it never came so far as to say."""
        try:
            return identity(self.path.name, (self.path / "identity").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def exited(self) -> Exited | None:
        """How the program ended, once its host has written that down."""
        try:
            return exited((self.path / "exit").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    async def read(self, offset: int) -> AsyncGenerator[Chunk | Exited, None]:
        """The output that is still there from `offset` on, and the program's end.

        Raises:
            HostLost: after the last piece, where the end is not known.
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
        """Those that hold something from `offset` on; a segment is named after its first byte's offset."""
        segments = sorted(self.path.glob("out.*"))
        before = [index for index, path in enumerate(segments) if int(path.suffix[1:]) <= offset]
        return segments[before[-1] if before else 0 :]


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None where there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # the name, in parentheses, may hold anything
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id() -> str:
    """Which start of the machine this is: pids and start times mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def processes_of(session: int) -> list[int]:
    """The processes whose session is the one of that number."""
    found = []
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        try:
            if os.getsid(pid) == session:
                found.append(pid)
        except ProcessLookupError:
            continue
    return found
