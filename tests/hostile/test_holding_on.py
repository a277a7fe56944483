"""Clients that send or read too little, or too much at once: they hold neither memory nor connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.hostile.raw import MESSAGE, PROMPT_SECONDS, of_problem, one_reply, require_well
from tests.served import TOKEN, Served, served

from rhetor.domain.event import OutputDelta
from rhetor.store.base import Draft
from rhetor.transports.server.http_protocol import MOST_PIPELINED, BoundedProtocol
from rhetor.transports.server.silent import AcceptedConnections

pytestmark = pytest.mark.anyio
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNKED = b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
AUTHORIZED = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
BEGUN = {"length": b"Content-Length: 1000\r\n\r\nx", "chunks": CHUNKED + b"\r\n5\r\nab"}
TRAILERS = {
    "many": b"0\r\n" + b"A: b\r\n" * 100_000,
    "an endless one": b"0\r\nA: " + b"b" * 1_000_000,
    "after a body": b"5\r\nhello\r\n0\r\n" + b"A: b\r\n" * 100_000,
    "an endless extension": b"5;" + b"b" * 1_000_000,
}


@asynccontextmanager
async def connected(home: Served, *, tcp: bool = False, limit: int = 1 << 24) -> AsyncIterator[Streams]:
    opening = (
        asyncio.open_connection("127.0.0.1", home.port)
        if tcp
        else asyncio.open_unix_connection(str(home.socket), limit=limit)
    )
    reader, writer = await opening
    try:
        yield reader, writer
    finally:
        writer.close()


def head(home: Served, method: bytes, path: bytes, *, tcp: bool = True) -> bytes:
    host = b"127.0.0.1:%d" % home.port if tcp else b"localhost"
    return method + b" " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n"


async def ends(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(PROMPT_SECONDS):
        while await reader.read(1 << 16):
            pass


async def none_left(home: Served, besides: int = 0) -> None:
    """Wait until the hub has at most `besides` connections; there is no event for it."""
    async with asyncio.timeout(PROMPT_SECONDS):
        while len(home.server.server_state.connections) > besides:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.long
@pytest.mark.parametrize("body", BEGUN)
@pytest.mark.parametrize(
    ("path", "more", "refused"),
    [
        (b"/api/v2/ai/apollo/message", b"", (401, "unauthenticated")),
        (b"/nowhere", AUTHORIZED, (404, "not_found")),
        (b"/healthz", AUTHORIZED, (405, "method_not_allowed")),
    ],
)
async def test_a_request_that_is_rejected_before_its_body_ends_its_connection(
    tmp_path: Path, body: str, path: bytes, more: bytes, refused: tuple[int, str]
) -> None:
    async with served(tmp_path) as home, connected(home, tcp=True) as (reader, writer):
        writer.write(head(home, b"POST", path) + more + BEGUN[body])
        reply = await one_reply(reader)
        assert reply is not None and of_problem(reply) == refused
        assert reply.headers["connection"] == "close"
        await ends(reader)
        await none_left(home)  # although the client has not closed it


async def test_a_client_that_is_still_sending_sees_the_rejection(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home, tcp=True) as (reader, writer):
        writer.write(head(home, b"POST", MESSAGE.encode()) + b"Content-Length: 8000000\r\n\r\n")
        for _ in range(80):
            writer.write(b"x" * 100_000)
            await asyncio.sleep(0)
        reply = await one_reply(reader)
        assert reply is not None and of_problem(reply) == (401, "unauthenticated")


async def test_garbage_after_the_request_does_not_end_its_stream(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home) as (reader, writer):
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        path = f"/api/v2/sessions/{session}/events".encode()
        accept = b"Accept: text/event-stream\r\n\r\n"
        writer.write(head(home, b"GET", path, tcp=False) + accept + b"\0 garbage\r\n\r\n")
        async with asyncio.timeout(PROMPT_SECONDS):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            for number in range(3):
                await home.hub.state.store.commit(session, [Draft(OutputDelta(f"text {number}"), "t_1")])
                await reader.readuntil(b"text %d" % number)


async def test_a_short_response_arrives_in_one_piece(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        with socket.create_connection(("127.0.0.1", home.port), 10) as client:
            for method, end in ((b"GET", b"}"), (b"HEAD", b"\r\n\r\n")) * 20:
                client.sendall(head(home, method, b"/api/v2/ai/apollo") + AUTHORIZED + b"\r\n")
                read = await asyncio.to_thread(client.recv, 64 << 10)  # waits while the server writes
                assert read.startswith(b"HTTP/1.1 200 ")
                assert read.endswith(end)


async def test_a_connection_stays_open_if_the_body_was_read(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home, tcp=True) as (reader, writer):
        for _ in range(3):
            body = b'{"content": "x"}'
            lines = AUTHORIZED + b"Content-Type: application/json\r\nContent-Length: 16\r\n\r\n"
            writer.write(head(home, b"POST", b"/nowhere") + lines + body)
            reply = await one_reply(reader)
            assert reply is not None and of_problem(reply) == (404, "not_found")


@pytest.mark.parametrize("kind", TRAILERS)
async def test_endless_trailers_are_rejected(tmp_path: Path, kind: str) -> None:
    async with served(tmp_path) as home, connected(home) as (reader, writer):
        writer.write(head(home, b"POST", MESSAGE.encode(), tcp=False) + CHUNKED + b"\r\n")
        writer.write(TRAILERS[kind])
        reply = await one_reply(reader)
        assert reply is not None and of_problem(reply) == (413, "too_large")
        await ends(reader)
        assert home.driver.heard == []
        await require_well(home)


async def test_a_few_trailers_are_ignored(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home) as (reader, writer):
        lines = head(home, b"POST", MESSAGE.encode(), tcp=False) + CHUNKED
        writer.write(lines + b'\r\n10\r\n{"content": "x"}\r\n0\r\nHost: evil\r\nOrigin: evil\r\n\r\n')
        reply = await one_reply(reader)
        assert reply is not None and reply.json["response"] == "apollo heard: x"


async def test_pipelined_requests_are_answered_up_to_a_limit(tmp_path: Path) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with served(tmp_path) as home, connected(home) as (reader, writer):
        writer.write(get * 20_000)
        answered = 0
        while (reply := await one_reply(reader)) is not None:
            assert reply.status == 200
            answered += 1
        assert answered == MOST_PIPELINED + 1
        await none_left(home)


async def test_a_client_that_reads_no_response_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "unread_seconds", 0.2)
    async with served(tmp_path) as home:
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        for _ in range(8):
            await home.hub.state.store.commit(session, [Draft(OutputDelta("x" * 500_000), "t_1")])
        besides = len(home.server.server_state.connections)
        async with connected(home, limit=1 << 16) as (_, writer):
            path = f"/api/v2/sessions/{session}/events".encode()
            writer.write((head(home, b"GET", path, tcp=False) + b"\r\n") * 5)
            await writer.drain()
            async with asyncio.timeout(PROMPT_SECONDS):
                while len(home.server.server_state.connections) <= besides:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await none_left(home, besides)


async def test_empty_lines_do_not_keep_a_connection_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as home, connected(home) as (reader, writer):
        writer.write(head(home, b"GET", b"/healthz", tcp=False) + b"\r\n")
        first = await one_reply(reader)
        assert first is not None and first.status == 200
        monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.3)
        writer.write(b"\r\n")
        second = await one_reply(reader)
        assert second is not None and of_problem(second) == (408, "request_timeout")
        await ends(reader)


async def test_a_websocket_has_no_deadline_for_a_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.1)
    async with served(tmp_path) as home, home.local.ws_connect("http://localhost/ws") as socket:
        await asyncio.sleep(0.3)
        await socket.send_str('{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"message": "hi"}}')
        assert (await socket.receive_json())["id"] == 1


async def test_silent_connections_make_room_for_new_ones(tmp_path: Path) -> None:
    async with (
        served(tmp_path, accepted=AcceptedConnections(most_silent=20)) as home,
        AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(connected(home, tcp=True)) for _ in range(60)]
        for reader, _ in silent[:40]:
            await ends(reader)
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert (await home.ask_tcp("GET", "/api/v2/ai", headers)).status == 200
        assert (await home.ask("GET", "/api/v2/ai")).status == 200
        assert not silent[-1][0].at_eof()


@pytest.mark.parametrize("tcp", [True, False])
async def test_a_client_with_too_many_connections_does_not_block_others(tmp_path: Path, tcp: bool) -> None:
    """Its open connections stay open, and other programs of the owner are served."""
    async with served(tmp_path, accepted=AcceptedConnections(most=10)) as home, AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{home.port}/ws" if tcp else "http://localhost/ws"
        session = home.remote if tcp else home.local
        headers = {"authorization": f"Bearer {TOKEN}"} if tcp else {}
        for _ in range(10):
            await stack.enter_async_context(session.ws_connect(url, headers=headers))
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(url, headers=headers)
        assert home.node.connections.by_api() == {"ws": 10}
        curl = await asyncio.create_subprocess_exec(
            "python3", "-c", OTHER, str(home.socket), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await curl.communicate()
        assert said.startswith(b"HTTP/1.1 200 OK")


OTHER = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET /api/v2/ai HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
print(s.recv(100).decode())
"""
