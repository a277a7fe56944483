"""Flow control: the limit of the spool, stderr, and readers that do not read."""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import SavedState
from rhetor.drivers.programs.driver import Programs, on_pipes
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Chunk, Exited, Lost
from rhetor.drivers.programs.program import HostedProgram
from tests.scale import FULL

from .hosting import SECONDS, difference, ended, hosting, output, python, resident, said

pytestmark = pytest.mark.anyio

LOUD_BYTES = (1 << 30) if FULL else (32 << 20)
# echoes each line at once, while another process fills stderr
LOUD = """
import os, sys
if not os.fork():
    left = int(sys.argv[1])
    while left > 0: left -= os.write(2, b"e" * min(left, 1 << 16))
    os._exit(0)
for line in sys.stdin.buffer: os.write(1, line)
os.wait()
"""
# reports its progress on stderr
COUNT = """
import os, sys
for number in range(int(sys.argv[1])):
    os.write(1, b"%07d\\n" % number * 512)
    os.write(2, b".")
"""


async def head_when_full(link: HostLink) -> int:
    """Wait until the program is blocked by a full spool; return the head."""
    async with asyncio.timeout(SECONDS):
        status = await link.status()
        while not status.waiting:
            status = await link.status()
    return status.head


async def test_a_program_waits_at_the_spool_limit_until_an_acknowledgement(tmp_path: Path) -> None:
    async with hosting(tmp_path, spool_limit=100_000, keep_bytes=0) as hosts:
        link = await hosts.start("a", python(COUNT, "200"))
        heads = [await head_when_full(link)]
        assert 100_000 <= heads[0] < 100_000 + (1 << 16)
        await link.acknowledge(heads[0])
        heads.append(await head_when_full(link))
        assert heads[0] + 100_000 <= heads[1] < heads[0] + 100_000 + (1 << 16)
        # acknowledged segments are deleted, except the one that is being written
        assert (await link.status()).earliest > 0
        whole = b""
        reading = link.read(heads[0])
        async with aclosing(reading):
            async for item in reading:
                if isinstance(item, Exited):
                    break
                whole += item.data
                await link.acknowledge(item.offset_after)
        wanted = b"".join(b"%07d\n" % number * 512 for number in range(200))
        assert difference(whole, wanted[heads[0] :]) is None


async def test_the_next_hub_acknowledges_what_the_log_already_has(tmp_path: Path) -> None:
    async with hosting(tmp_path, spool_limit=10_000) as hosts:
        link = await hosts.start("a", python(COUNT, "200"))
        head = await head_when_full(
            link
        )  # all of it was logged, and the hub killed before it could acknowledge it
        await link.aclose()
        peer = Peer("a", PeerKind.TOOL, "stdio", "counts")
        found = await Programs(hosts, on_pipes, "pipes").find(
            peer, "a", SavedState(head, {}), lambda running: None
        )
        assert isinstance(found, HostedProgram)
        async with asyncio.timeout(SECONDS):
            item = await found.feed.next(None)
        assert isinstance(item, Chunk)
        assert item.offset_after - len(item.data) == head


async def test_a_full_spool_does_not_block_the_exit_of_a_program(tmp_path: Path) -> None:
    async with hosting(tmp_path, spool_limit=10_000) as hosts:
        link = await hosts.start("a", python("import os; os.write(1, b'x' * 70_000)"))
        assert (await link.wait()).head == 70_000
        assert difference((await output(link))[0], b"x" * 70_000) is None


async def test_a_program_waits_while_the_disk_rejects_writes_and_nothing_is_lost(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(f"input()\n{COUNT}", "100"))
        host = link.identity.host_pid
        limits = resource.prlimit(host, resource.RLIMIT_FSIZE)
        resource.prlimit(host, resource.RLIMIT_FSIZE, (0, limits[1]))
        await link.write(b"\n", "text")
        written = 0
        async with asyncio.timeout(SECONDS), aclosing(link.read_stderr(0)) as reading:
            while written < 10:
                item = await anext(reading)
                assert isinstance(item, Chunk)
                written += len(item.data)
        assert (await link.status()).head == 0
        resource.prlimit(host, resource.RLIMIT_FSIZE, limits)
        data, end = await output(link)
        assert difference(data, b"".join(b"%07d\n" % number * 512 for number in range(100))) is None
        assert end.code == 0


async def test_a_flood_on_stderr_does_not_delay_the_output(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(LOUD, str(LOUD_BYTES)))
        async with aclosing(link.read(0)) as reading:
            for number in range(50):
                await link.write(b"%d\n" % number, "text")
                async with asyncio.timeout(SECONDS):
                    item = await anext(reading)
                assert isinstance(item, Chunk)
                assert item.data == b"%d\n" % number
        await link.close_stdin()
        await link.wait()
        status = await link.status()
        assert status.stderr_total == LOUD_BYTES
        assert 0 < LOUD_BYTES - status.stderr_lost <= 1 << 20
        items = [item async for item in link.read_stderr(0)]
        assert items[0] == Lost(status.stderr_lost, status.stderr_lost)
        kept = b"".join(item.data for item in items[1:] if isinstance(item, Chunk))
        assert difference(kept, b"e" * (LOUD_BYTES - status.stderr_lost)) is None
        assert resident(status.host_pid) < 16 << 20


async def test_stderr_is_read_as_it_is_written(tmp_path: Path) -> None:
    code = "import sys\nfor line in sys.stdin: print(line, end='', file=sys.stderr, flush=True)"
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(code))
        async with aclosing(link.read_stderr(0)) as reading:
            for word, after in ((b"one\n", 4), (b"three\n", 10)):
                await link.write(word, "text")
                async with asyncio.timeout(SECONDS):
                    item = await anext(reading)
                assert isinstance(item, Chunk)
                assert (item.offset_after, item.data) == (after, word)


async def test_a_stalled_reader_delays_no_other_and_loses_nothing(tmp_path: Path) -> None:
    size = 20_000_000
    code = f"import os\nfor _ in range({size} // 50_000): os.write(1, b'x' * 50_000)"
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(code))
        async with aclosing(link.read(0)) as lazy:
            first = await anext(lazy)
            assert isinstance(first, Chunk)
            data, end = await output(link)
            assert (len(data), end.code) == (size, 0)
            rest = b"".join([item.data async for item in lazy if isinstance(item, Chunk)])
            assert difference(first.data + rest, data) is None


async def test_a_chunk_has_the_time_at_which_it_was_read(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        before = time.time_ns() // 1_000_000
        link = await hosts.start("a", python("print('now', flush=True); import signal; signal.pause()"))
        await said(link, b"now")
        async with aclosing(link.read(0)) as reading:
            item = await anext(reading)
        assert isinstance(item, Chunk)
        assert before <= item.at_ms <= time.time_ns() // 1_000_000
        host = link.identity
        await link.end()
        await link.acknowledge(4)
        await ended(host.host_pid, host.host_start)
