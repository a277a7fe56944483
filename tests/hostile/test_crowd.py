"""Many clients that hold a connection and send little or nothing do not delay other clients."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.hostile.raw import require_well
from tests.served import Served, served

from rhetor.transports.server.http_protocol import BoundedProtocol
from rhetor.transports.server.silent import MOST_SILENT

pytestmark = pytest.mark.anyio

CROWD = 1000
OPENINGS = (b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: local", b"POST / HTTP/1.1\r\nHost: localhost\r\nX: ")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Allow enough descriptors for both ends of each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * CROWD
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process can have only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.long
@pytest.mark.alone
async def test_a_thousand_half_open_connections_delay_no_other_and_are_closed(
    tmp_path: Path, many_descriptors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 3.0)
    async with served(tmp_path) as home, AsyncExitStack() as stack:
        readers = [await _half_open(stack, home, OPENINGS[n % len(OPENINGS)]) for n in range(CROWD)]
        times = sorted([await _health(home) for _ in range(200)])
        assert times[-2] < 0.1, "more than 1 of 200 health checks took longer than 100 ms"
        async with asyncio.timeout(10):
            said = await asyncio.gather(*(reader.read() for reader in readers))
        heads = Counter(answer.split(b"\r\n")[0] for answer in said)
        # the oldest silent connections of a client are closed to make room for new ones
        timed_out = heads.pop(b"HTTP/1.1 408 Request Timeout")
        assert (set(heads), timed_out + heads[b""]) == ({b""}, CROWD)
        assert MOST_SILENT - 2 <= timed_out <= MOST_SILENT  # the health checks were silent for a moment, too
        await require_well(home)


async def _half_open(stack: AsyncExitStack, home: Served, opening: bytes) -> asyncio.StreamReader:
    reader, writer = await asyncio.open_unix_connection(str(home.socket))
    stack.callback(writer.close)
    writer.write(opening)
    return reader


async def _health(home: Served) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await home.ask("GET", "/healthz")).status == 200
    return loop.time() - began
