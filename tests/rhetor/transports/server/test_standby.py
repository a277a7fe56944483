"""A node on standby, which passes connections on to a hub."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from rhetor.transports.server import standby as module
from rhetor.transports.server.standby import Address, Standby
from tests.rhetor.transports.socket_client import created
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
SECONDS = 30.0


@asynccontextmanager
async def passing_on(serving: Address | None) -> AsyncIterator[tuple[Standby, int, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        standby = Standby(lambda: serving)
        async with standby.listening(listener), asyncio.timeout(SECONDS):
            yield standby, listener.getsockname()[1], listener


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: their transports differ in when they begin to read."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@asynccontextmanager
async def server(
    handle: object,
) -> AsyncIterator[Address]:
    started = await asyncio.start_server(handle, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        yield started.sockets[0].getsockname()
    finally:
        started.close()
        await asyncio.sleep(0.05)  # the connections end, too


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_requests_streams_and_web_sockets_reach_the_hub_through_another_node(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        passing_on(("127.0.0.1", home.port)) as (standby, port, _),
        aiohttp.ClientSession(headers=BEARER) as client,
    ):
        assert home.node.addresses is not None
        home.node.addresses = home.node.addresses.allowing([f"127.0.0.1:{port}"], [])
        url = f"http://127.0.0.1:{port}"
        session = (await created(home))["session_id"]
        headers = {"accept": "text/event-stream"}
        async with client.get(f"{url}/api/v2/sessions/{session}/events", headers=headers) as stream:
            assert stream.status == 200, await stream.text()
            path, body = f"{url}/api/v2/sessions/{session}/message", {"message": "hi"}
            async with client.post(path, json=body) as answer:
                assert answer.status == 200, await answer.text()
            while b"turn.completed" not in await stream.content.readline():
                pass
        uri = f"ws://127.0.0.1:{port}/ws/ai/apollo"
        async with connect(uri, additional_headers=BEARER, proxy=None) as websocket:
            await websocket.send('{"jsonrpc":"2.0","id":1,"method":"ping"}')
            assert json.loads(await websocket.recv())["id"] == 1
        assert standby.passed >= 2


async def test_both_directions_end_by_themselves() -> None:
    async def answer_after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()
        writer.write(asked[::-1])
        writer.close()

    async with (
        server(answer_after_the_end) as address,
        passing_on(address) as (_, port, _listener),
        connected(port) as (reader, writer),
    ):
        writer.write(b"abc" * 100_000)
        writer.write_eof()
        assert await reader.read() == b"cba" * 100_000


async def test_a_client_that_does_not_read_takes_no_memory() -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with suppress(OSError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        writer.close()

    async with server(flood) as address, passing_on(address) as (_, port, _listener):
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            slow.setblocking(False)
            await asyncio.get_running_loop().sock_connect(slow, ("127.0.0.1", port))
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            assert 0 < sent < 64 << 20  # the buffers of the kernel and of two transports


async def test_without_a_node_that_serves_a_connection_is_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = free.getsockname()
    for serving, most in ((None, 100), (nobody, 100), (nobody, 0)):
        monkeypatch.setattr(module, "MOST_CONNECTIONS", most)
        async with passing_on(serving) as (standby, port, _), connected(port) as (reader, _writer):
            assert await reader.read() == b""
            assert standby.passed == 0


async def test_connections_after_the_end_of_standby_wait_for_the_next_to_accept_them() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hi")
        writer.close()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hi")
        with suppress(OSError):
            await reader.read()
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with server(keep) as address:
            async with Standby(lambda: address).listening(listener):
                earlier = connected(port)
                reader, _ = await earlier.__aenter__()
                assert await reader.readexactly(2) == b"hi"
            async with connected(port) as (later, _writer):
                assert await reader.read() == b""
                await earlier.__aexit__(None, None, None)
                own = await asyncio.start_server(greet, sock=listener.dup())
                assert await later.read() == b"hi"
                own.close()
