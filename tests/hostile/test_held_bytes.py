"""Many clients that send large bodies at once take a limited amount of memory; short requests continue."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.e2e.home import SECONDS
from tests.hostile.raw import MESSAGE, Reply, one_reply, request
from tests.hostile.running import running_hub
from tests.hostile.test_freed import resident
from tests.served import TOKEN, Served, served
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

pytestmark = pytest.mark.anyio

LIMIT = 1 << 20
PART = 400_000  # two of them fit
SMALL = {"content": "hi", "more": "x" * 60_000}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def limited(folder: Path) -> AsyncIterator[Served]:
    async with served(folder) as home:
        home.node.held.limit = LIMIT
        yield home
        await holding(home, lambda total: total == 0)


@asynccontextmanager
async def sending(home: Served) -> AsyncIterator[Streams]:
    """A request of which `PART` bytes of the body are sent, and more are to come."""
    reader, writer = await asyncio.open_unix_connection(str(home.socket))
    whole = request("POST", MESSAGE, json.dumps({"content": "hi", "more": "x" * 2 * PART}).encode())
    try:
        writer.write(whole[:-PART])
        yield reader, writer
    finally:
        writer.close()


async def holding(home: Served, is_right: Callable[[int], bool]) -> None:
    """Nobody is told how much a hub holds."""
    async with asyncio.timeout(SECONDS):
        while not is_right(home.node.held.total):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def reply(reader: asyncio.StreamReader) -> Reply:
    async with asyncio.timeout(SECONDS):
        found = await one_reply(reader)
    assert found is not None
    return found


async def test_a_large_body_beyond_the_limit_of_all_is_rejected_and_a_short_one_is_not(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path) as home, AsyncExitStack() as stack:
        held = [await stack.enter_async_context(sending(home)) for _ in range(2)]
        await holding(home, lambda total: total > 2 * PART)
        third, _ = await stack.enter_async_context(sending(home))
        rejected = await reply(third)
        assert (rejected.status, rejected.json["code"]) == (503, "too_many_bytes")
        assert (rejected.json["limit"], rejected.json["retryable"]) == (LIMIT, True)
        assert rejected.headers["retry-after"] == "1"
        for _ in range(3):
            answer = await home.ask("POST", MESSAGE, SMALL)
            assert answer.status == 200, answer.text
        for _, writer in held:
            writer.close()
        await holding(home, lambda total: total == 0)
        reader, writer = await stack.enter_async_context(sending(home))
        writer.write(b"x" * (PART - 2) + b'"}')
        assert (await reply(reader)).status == 200


@asynccontextmanager
async def socketed(home: Served) -> AsyncIterator[ClientConnection]:
    """A WebSocket on which the first `PART` bytes of a message were sent."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"ws://127.0.0.1:{home.port}/ws"
    async with connect(url, additional_headers=headers, close_timeout=1) as client:
        yield client
        client.transport.abort()


async def send_part(client: ClientConnection, *, fragments: bool) -> None:
    whole = Frame(Opcode.TEXT, b"x" * PART, fin=not fragments).serialize(mask=True)
    client.transport.write(whole if fragments else whole[:-1])


@pytest.mark.parametrize("fragments", [True, False])
async def test_messages_on_websockets_count_too(tmp_path: Path, fragments: bool) -> None:
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"message": "hi"}})
    async with limited(tmp_path) as home, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(socketed(home)) for _ in range(4)]
        for count, client in enumerate(clients[:2], 1):
            await send_part(client, fragments=fragments)
            await holding(home, lambda total, most=count * PART: total >= most)  # type: ignore[misc]
        await send_part(clients[2], fragments=fragments)
        with pytest.raises(ConnectionClosed) as closed:
            await clients[2].recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4013, "too_many_bytes")
        await clients[3].send(call)
        assert "hi" in str(await clients[3].recv())
        assert (await home.ask("POST", MESSAGE, SMALL)).status == 200


async def test_a_message_on_a_websocket_is_counted_until_the_next_one_is_read(tmp_path: Path) -> None:
    async with limited(tmp_path) as home, socketed(home) as client:
        for _ in range(10):
            call = {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"message": "x" * PART}}
            await client.send(json.dumps(call))
            assert "result" in json.loads(await client.recv())
        await holding(home, lambda total: total == 0)


BODIES, SENT = 60, 3_000_000


@pytest.mark.long
def test_the_memory_of_many_large_bodies_is_limited(tmp_path: Path) -> None:
    limit = 16 << 20
    settings = {"RHETOR_LIMITS__BODY_BYTES_AT_ONCE": str(limit)}
    with running_hub(tmp_path / "home", settings) as hub, ExitStack() as stack:
        before, place = resident(hub), urlsplit(hub.url)
        token = hub.session.headers["authorization"]
        lines = f"Host: {place.netloc}\r\nAuthorization: {token}\r\nContent-Type: application/json\r\n"
        head = f"POST {MESSAGE} HTTP/1.1\r\n{lines}Content-Length: {SENT + 1}\r\n\r\n".encode()
        clients = []
        for _ in range(BODIES):
            client = stack.enter_context(
                socket.create_connection((place.hostname or "", place.port or 0), SECONDS)
            )
            clients.append(client)
            _send(client, head + b" " * SENT)
            assert hub.ask("POST", MESSAGE, json={"content": "hi"}).status_code == 200
        assert resident(hub) < before + 3 * limit
        statuses = [client.recv(12) for client in clients[-10:]]
        assert statuses == [b"HTTP/1.1 503"] * 10


def _send(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was rejected before it was read
