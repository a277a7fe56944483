"""Clients that disappear without closing, and clients that do not read, are disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rhetor.codec.websocket_frames import text_frame
from rhetor.domain.event import OutputDelta
from rhetor.store.base import Draft
from rhetor.transports.server import flow, http_protocol, server, sse
from rhetor.transports.server.websocket_protocol import SocketProtocol
from rhetor.transports.websocket import connection
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.rhetor.transports.open_clients import APIS, session, terminal
from tests.rhetor.transports.raw_clients import raw_client
from tests.scale import FULL, scaled
from tests.served import Served, served, with_programs

pytestmark = pytest.mark.anyio
CLIENTS, STOPPED = scaled(100, 24), scaled(10, 6)
FOLLOWING = ("sse", "ws", "ws.ai")
LIMIT = 40.0  # seconds within which a vanished client is noticed
STALL = 3.0
MARK = "the last of it"
FLOODS = """
import sys, time
sys.stdin.readline()
while True:
    print("x" * 60_000, flush=True)
    time.sleep(0.02)
"""


@pytest.mark.long
@pytest.mark.parametrize("api", APIS)
async def test_a_client_behind_a_pulled_cable_is_disconnected(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not FULL:
        _shorten_timeouts(monkeypatch)
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(with_programs(seconds=60 + LIMIT))
        await stack.enter_async_context(terminal(home))
        client = await stack.enter_async_context(raw_client(home, api, await session(home)))
        assert home.node.connections.by_api() == {api: 1}
        client.pull_the_cable()
        async with asyncio.timeout(LIMIT):
            await _until_left(home, 0)


def _shorten_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten all timeouts to a few seconds."""
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.5)
    monkeypatch.setattr(server, "UNACKNOWLEDGED_SECONDS", 2.0)
    for name, seconds in (("ping_seconds", 0.5), ("pong_seconds", 2.0), ("parting_seconds", 0.2)):
        monkeypatch.setattr(SocketProtocol, name, seconds)


async def _until_left(home: Served, count: int) -> None:
    await _until(lambda: home.node.connections.by_api().total() <= count)


@pytest.fixture
def short_stall_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close a client that does not read after a few seconds, with time to receive the reason."""
    for module in (flow, connection):
        monkeypatch.setattr(module, "STALL_SECONDS", STALL)
    monkeypatch.setattr(server, "UNACKNOWLEDGED_SECONDS", 120.0)
    monkeypatch.setattr(http_protocol, "PARTING_SECONDS", 120.0)
    monkeypatch.setattr(SocketProtocol, "linger_seconds", 120.0)
    monkeypatch.setattr(SocketProtocol, "ping_seconds", 600.0)  # these clients do not answer pings


@pytest.mark.long
@pytest.mark.parametrize("api", FOLLOWING)
async def test_stalled_followers_are_closed_and_can_resume_at_their_position(
    api: str, tmp_path: Path, short_stall_timeout: None
) -> None:
    texts = [f"{n}:" + "x" * 100_000 for n in range(60)] + [MARK]
    async with served(tmp_path, seconds=200) as home, AsyncExitStack() as stack:
        followed = await session(home)
        opening = [raw_client(home, api, followed, reads=n >= STOPPED) for n in range(CLIENTS)]
        clients = [await stack.enter_async_context(each) for each in opening]
        stopped, live = clients[:STOPPED], clients[STOPPED:]
        reading = [asyncio.create_task(client.told(MARK.encode())) for client in live]
        await _commit(home, followed, texts)
        for told in await asyncio.gather(*reading):
            assert _texts(told) == texts
        async with asyncio.timeout(60):
            await _until_left(home, len(live))
        reason = ("error", "too_slow") if api == "sse" else (4008, "too_slow")
        assert [await client.ended() for client in stopped] == [reason] * STOPPED
        assert home.node.tally.closed == {(api, "too_slow"): STOPPED}
        for client in stopped[:2]:
            seen = client.objects()
            async with raw_client(home, api, followed, _cursor(seen)) as again:
                rest = await again.told(MARK.encode())
            assert len(_texts(seen)) < len(texts)
            assert _texts(seen) + _texts(rest) == texts


async def _commit(home: Served, stream: str, texts: list[str]) -> None:
    for text in texts:
        await home.hub.state.store.commit(stream, [Draft(OutputDelta(text), "t_1")])
        await asyncio.sleep(0)


def _texts(told: list[dict[str, Any]]) -> list[str]:
    """Return the texts in the frames of any API."""
    found = [frame.get("params", frame) for frame in told]
    return [f.get("chunk") or f["data"]["text"] for f in found if "chunk" in f or "text" in f.get("data", {})]


def _cursor(told: list[dict[str, Any]]) -> str:
    last = [f for f in (frame.get("params", frame) for frame in told) if "seq" in f][-1]
    return f"{last['epoch']}:{last['seq']}"


@pytest.mark.parametrize("moment", ["handle_close", "end", "keepalive_timeout", "connection_lost"])
async def test_a_frame_written_while_a_socket_ends_is_dropped(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[bool | None] = []
    ends = getattr(SocketProtocol, moment)

    def then_put(protocol: SocketProtocol, *arguments: object) -> None:
        ends(protocol, *arguments)
        late.append(protocol.writer.put(text_frame(b"late")))

    async with served(tmp_path) as home:
        followed = await session(home)
        async with raw_client(home, "ws.ai", followed) as client:
            await _commit(home, followed, ["first"])
            await client.told(b"first")
            await _commit(home, followed, [MARK])
            await client.told(MARK.encode())
            monkeypatch.setattr(SocketProtocol, moment, then_put)
            protocol = next(each for each in _of_tcp(home) if isinstance(each, SocketProtocol))
            assert (
                protocol.writer.put != protocol.writer._look
            )  # the writer is the transport's own, because nothing was queued
            if moment == "handle_close":
                await client.send(b"\x88", b"\x03\xe8")
            elif moment == "end":
                protocol.end(4003, "forbidden")
            elif moment == "keepalive_timeout":
                protocol.keepalive_timeout()
            else:
                client.socket.close()
                await _until(lambda: late)
            if moment != "connection_lost":
                assert (await client.ended())[0] in (1000, 4003, 1011)
                assert b"late" not in client._read
        assert late == [True]


@pytest.mark.long
async def test_a_terminal_that_stops_reading_is_closed_and_the_others_continue(
    short_stall_timeout: None,
) -> None:
    async with with_programs(seconds=120) as home:
        await home.announce("shown", *PYTHON, FLOODS, kind="terminal")
        async with (
            raw_client(home, "ws.attach", reads=False) as stopped,
            raw_client(home, "ws.attach") as live,
        ):
            await live.send(b"\x82", b"go\r")
            reading = asyncio.create_task(live.read_on())
            async with asyncio.timeout(60):
                await _until_left(home, 1)
            assert await stopped.ended() == (4008, "too_slow")
            assert home.node.tally.closed == {("ws.attach", "too_slow"): 1}
            read = live.bytes_read
            async with asyncio.timeout(60):
                await _until(lambda: live.bytes_read > read + 100_000)
            reading.cancel()


async def test_an_event_stream_ends_even_if_its_client_never_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(http_protocol, "PARTING_SECONDS", 0.5)
    async with served(tmp_path) as home:
        followed = await session(home)
        async with raw_client(home, "sse", followed, reads=False):
            await _commit(home, followed, ["x" * 100_000] * 40)
            async with asyncio.timeout(30):
                await _until(lambda: not _of_tcp(home))


def _of_tcp(home: Served) -> list[Any]:
    """Return the TCP connections that the server still holds."""
    held: set[Any] = set(home.server.server_state.connections)
    return [each for each in held if each.client]


async def _until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110  # the hub has no event for its connections
        await asyncio.sleep(0.02)
