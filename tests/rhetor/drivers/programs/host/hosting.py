"""Real hosts for tests: started in their own folder, and all ended at the end of the block."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from rhetor.drivers.programs.host.failures import HostLost
from rhetor.drivers.programs.host.folder import start_time
from rhetor.drivers.programs.host.hosts import HostGone, Hosts
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.spec import Mode, ProgramSpec
from rhetor.drivers.programs.host.values import Chunk, Exited

SECONDS = 60.0

# without site packages, a test program starts in 10 ms
PYTHON = (sys.executable, "-I", "-S", "-c")


def python(code: str, *arguments: str, mode: str = "pipes", **more: Any) -> ProgramSpec:
    """Return the spec of a program of a few lines of Python."""
    return program(*PYTHON, code, *arguments, mode=mode, **more)


def program(*argv: str, mode: str = "pipes", cwd: str = "/", **more: Any) -> ProgramSpec:
    environment = more.pop("env", {"PATH": os.environ["PATH"], "TERM": "xterm-256color"})
    return ProgramSpec(argv, cwd, environment, cast(Mode, mode), **more)


class TrackedHosts(Hosts):
    """Keeps its links, so that a failing test leaves none open."""

    links: list[HostLink]

    async def start(self, host_id: str, spec: ProgramSpec) -> HostLink:
        link = await super().start(host_id, spec)
        self.links.append(link)
        return link

    async def find(self, host_id: str) -> HostLink | HostGone:
        found = await super().find(host_id)
        if isinstance(found, HostLink):
            self.links.append(found)
        return found


@asynccontextmanager
async def hosting(folder: Path, **settings: Any) -> AsyncIterator[Hosts]:
    hosts = TrackedHosts(folder / "hosts", folder / "sockets", **settings)
    hosts.links = []
    try:
        yield hosts
    finally:
        for host_id in hosts.known():
            await dismiss(hosts, host_id)
        for link in hosts.links:
            await link.aclose()


async def linked(hosts: Hosts, host_id: str) -> HostLink:
    """Open another link to a running host."""
    found = await hosts.find(host_id)
    assert isinstance(found, HostLink)
    return found


async def dismiss(hosts: Hosts, host_id: str) -> None:
    """End the program, acknowledge its end, and wait until its host has left."""
    found = await hosts.find(host_id)
    if isinstance(found, HostLink):
        with suppress(HostLost):
            end = await found.end(0.0)
            await found.acknowledge(end.head)
        await ended(found.identity.host_pid, found.identity.host_start)


async def ended(pid: int, start: int) -> None:
    """Wait until the process is gone or a zombie."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, over.set)
    try:
        if start_time(pid) == start:
            async with asyncio.timeout(2 * SECONDS):
                await over.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def output(link: HostLink, offset: int = 0) -> tuple[bytes, Exited]:
    """Return all output and how the program ended."""
    data = bytearray()
    async with asyncio.timeout(3 * SECONDS), aclosing(link.read(offset)) as items:
        async for item in items:
            if isinstance(item, Exited):
                return bytes(data), item
            data += item.data
    raise AssertionError("the output ended without an exit")


async def said(link: HostLink, *words: bytes, offset: int = 0) -> bytes:
    """Return the output up to the piece that completes `words`, which appear one after the other."""
    data = bytearray()
    async with asyncio.timeout(3 * SECONDS), aclosing(link.read(offset)) as items:
        async for item in items:
            if not isinstance(item, Chunk):
                raise AssertionError(f"the program ended before that: {bytes(data[-500:])!r}")
            data += item.data
            at = 0
            for word in words:
                at = data.find(word, at) + len(word) if data.find(word, at) >= 0 else -1
                if at < 0:
                    break
            else:
                return bytes(data)
    raise AssertionError("unreachable")


def difference(got: bytes, wanted: bytes) -> tuple[bytes, bytes] | None:
    """Return where two long texts begin to differ, or None. Pytest would compare them for minutes."""
    if got == wanted:
        return None
    pairs = enumerate(zip(got, wanted, strict=False))
    at = next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(got), len(wanted)))
    return got[at : at + 50], wanted[at : at + 50]


def children_of(process: int) -> list[str]:
    """Return the states of the process's children."""
    numbers = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1][0] for pid in numbers]


def descriptors(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def resident(process: int) -> int:
    """Return the resident memory in bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def there(path: str) -> bool:
    return Path(path).exists()


def alive(pid: int) -> bool:
    return start_time(pid) is not None
