"""A hub of a few lines that tests kill: it copies a program's output into a file.

Each piece is appended together with its end offset in one write, like a commit; then it is acknowledged.
After each piece, a line on stdout has the program's pid and the offset.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rhetor.codec import host_frames as frames
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Exited

from .hosting import python

# a small pipe keeps the program from running ahead of the hubs
PRINTS = """
import fcntl, os
if not os.isatty(1): fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)
for number in range(1, 100_001): print(number)
"""


def taken(log: Path) -> bytes:
    """Return the contents of the log, after removing a record that was only partly written."""
    whole, size = b"", 0
    for size, offset, _, data in frames.records(log.read_bytes()):  # noqa: B007
        assert offset == len(whole)
        whole += data
    os.truncate(log, size)
    return whole


async def run(folder: Path, mode: str) -> None:
    hosts = Hosts(folder / "hosts", folder / "sockets", spool_limit=10_000)
    if list(hosts.known()):
        link = await hosts.find("a")
        assert isinstance(link, HostLink)
    else:
        link = await hosts.start("a", python(PRINTS, mode=mode))
    log = folder / "log"
    log.touch()
    with log.open("ab", buffering=0) as kept:
        have = len(taken(log))
        if (await link.status()).waiting:
            await link.acknowledge(have)  # the previous hub may have been killed before it could do so
        async for item in link.read(have):
            if isinstance(item, Exited):
                break
            kept.write(frames.record(item.offset_after - len(item.data), item.at_ms, item.data))
            await link.acknowledge(item.offset_after)
            sys.stdout.write(f"{link.identity.program_pid} {item.offset_after}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
