"""Bytes that are not HTTP, or ambiguous HTTP, are rejected before anything acts on them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.hostile.raw import MESSAGE, of_problem, one_reply, refusal, replies, request, require_well
from tests.scripted import Script
from tests.served import served

from rhetor.domain.output import Done, Text
from rhetor.transports.server.http_protocol import HEAD_BYTES, BoundedProtocol

pytestmark = pytest.mark.anyio

HIDDEN = b"POST /api/v2/ai/apollo/message HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n" + (
    b'{"content":"x"}'
)


def post(lines: bytes, rest: bytes) -> bytes:
    head = b"POST /api/v2/ai/apollo/message HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head + lines + b"\r\n" + rest


def get(target: bytes = b"/healthz", version: bytes = b"HTTP/1.1", lines: bytes = b"") -> bytes:
    return b"GET " + target + b" " + version + b"\r\nHost: localhost\r\n" + lines + b"\r\n"


NOT_HTTP: dict[str, bytes] = {
    "length and chunks": post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN),
    "chunks and length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + HIDDEN),
    "two lengths": post(b"Content-Length: 0\r\nContent-Length: 5\r\n", HIDDEN),
    "a list of lengths": post(b"Content-Length: 0, 5\r\n", HIDDEN),
    "a negative length": post(b"Content-Length: -1\r\n", HIDDEN),
    "a length with a sign": post(b"Content-Length: +5\r\n", b"hello"),
    "a length in hex": post(b"Content-Length: 0x5\r\n", b"hello"),
    "a length of 40 digits": post(b"Content-Length: " + b"9" * 40 + b"\r\n", b"hello"),
    "two encodings": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "another encoding": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "chunked not last": post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "a space before the colon": post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
    "a chunk of no size": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"),
    "a chunk of negative size": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\nhello\r\n0\r\n\r\n"),
    "a chunk of endless size": post(b"Transfer-Encoding: chunked\r\n", b"f" * 20 + b"\r\nhello"),
    "a chunk that is longer": post(b"Transfer-Encoding: chunked\r\n", b"1\r\nhello\r\n0\r\n\r\n"),
    "a folded header": get(lines=b"X: a\r\n b\r\n"),
    "a NUL in a header": get(lines=b"X: a\0b\r\n"),
    "a CR in a header": get(lines=b"X: a\rb\r\n"),
    "a header without a name": get(lines=b": a\r\n"),
    "a header without a colon": get(lines=b"evil\r\n"),
    "lines that end with LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "a target with a host": get(b"http://localhost/healthz"),
    "a target of another host": get(b"http://evil/healthz"),
    "a target that is no path": get(b"*"),
    "a target of bytes": get(b"/\xff\xfe"),
    "a target with a space": get(b"/health z"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": get(version=b"HTTP/3.7"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(4096),
}


KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_bytes_that_are_not_http_get_a_problem_and_the_connection_is_closed(
    tmp_path: Path, name: str
) -> None:
    async with served(tmp_path) as home:
        assert await refusal(home, NOT_HTTP[name]) == (400, "malformed")
        assert home.driver.heard == []
        await require_well(home)


async def test_a_missing_host_header_is_421(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for data in (b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.0\r\n\r\n"):
            (reply, *_) = await replies(home, data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert of_problem(reply) == (421, "misdirected")


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (b"Upgrade: h2c\r\n", (404, "not_found")),
        (b"Upgrade: websocket\r\n", (400, "malformed")),
        (b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", (400, "malformed")),
        (b"Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n" + KEY, (400, "malformed")),
        (b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + KEY, (404, "not_found")),
    ],
    ids=["another protocol", "bare", "no key", "an old version", "no such socket"],
)
async def test_an_unsupported_upgrade_is_rejected(
    tmp_path: Path, lines: bytes, refused: tuple[int, str]
) -> None:
    async with served(tmp_path) as home:
        reader, writer = await asyncio.open_unix_connection(str(home.socket))
        writer.write(get(b"/ws/nowhere", lines=b"Connection: Upgrade\r\n" + lines))
        reply = await one_reply(reader)
        writer.close()
        assert reply is not None
        assert of_problem(reply) == refused


@pytest.mark.parametrize(
    "lines",
    [b"X: " + b"x" * 2_000_000 + b"\r\n", b"X: x\r\n" * 50_000, b"X: " + b"x" * HEAD_BYTES + b"\r\n"],
    ids=["one of 2 MB", "50,000 lines", "slightly too large"],
)
async def test_an_oversized_head_is_431(tmp_path: Path, lines: bytes) -> None:
    async with served(tmp_path) as home:
        assert await refusal(home, request("GET", "/healthz", more=lines)) == (431, "head_too_large")
        await require_well(home)


async def test_a_head_just_under_the_limit_is_read_in_any_chunking(tmp_path: Path) -> None:
    data = request("GET", "/healthz", more=b"X: " + b"x" * (HEAD_BYTES - 200) + b"\r\n")
    async with served(tmp_path) as home:
        for size in (1000, 4096, len(data)):
            reader, writer = await asyncio.open_unix_connection(str(home.socket))
            for at in range(0, len(data), size):
                writer.write(data[at : at + size])
                await writer.drain()
            reply = await one_reply(reader)
            writer.close()
            assert reply is not None and reply.status == 200


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    bodies = [b'{"content": "%d"}' % n for n in range(20)]
    data = b"".join(post(b"Content-Length: %d\r\n" % len(body), body) for body in bodies)
    async with served(tmp_path) as home:
        found = await replies(home, data + request("GET", "/healthz"))
        said = [reply.json["response"] for reply in found[:-1]]
        assert said == [f"apollo heard: {n}" for n in range(20)]
        assert found[-1].json == {"status": "ok"}


async def test_garbage_after_a_request_does_not_prevent_its_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = b'{"content": "x"}'
        data = post(b"Content-Length: %d\r\n" % len(body), body) + b"\0\xff garbage\r\n\r\n" * 1000
        (reply,) = await replies(home, data)
        assert reply.json["response"] == "apollo heard: x"


async def test_incomplete_requests_leave_nothing_behind(tmp_path: Path) -> None:
    whole = request("POST", MESSAGE, b'{"content": "x"}')
    async with served(tmp_path) as home:
        for end in range(1, len(whole), 3):
            _, writer = await asyncio.open_unix_connection(str(home.socket))
            writer.write(whole[:end])
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await require_well(home)
        assert home.driver.heard == [("apollo", "still there?")]


async def test_a_head_that_never_completes_is_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.2)
    async with served(tmp_path) as home:
        assert await refusal(home, b"GET /healthz HTT") == (408, "request_timeout")
        assert await refusal(home, b"") == (408, "request_timeout")
        first, second = await replies(home, get() + b"GET /health")
        assert (first.status, of_problem(second)) == (200, (408, "request_timeout"))


async def test_a_slow_answer_does_not_time_out_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.1)
    gate = asyncio.Event()
    script: Script = [Text("one "), gate, Text("two"), Done()]
    async with served(tmp_path, script) as home:
        asyncio.get_running_loop().call_later(0.4, gate.set)
        (reply,) = await replies(home, request("POST", MESSAGE, b'{"content": "x"}'))
        assert reply.json["response"] == "one two"


async def test_a_body_that_never_completes_is_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhetor.transports.server.bodies.BODY_SECONDS", 0.2)
    async with served(tmp_path) as home:
        data = post(b"Content-Length: 100\r\nConnection: close\r\n", b'{"content": "')
        assert await refusal(home, data) == (408, "request_timeout")
        assert home.driver.heard == []
        await require_well(home)
