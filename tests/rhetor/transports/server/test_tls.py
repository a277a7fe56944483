"""TLS on the TCP listener: every API over it, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from rhetor.transports.server.silent import AcceptedConnections
from rhetor.transports.server.tls import TlsConnection
from tests.certificates import Issued
from tests.rhetor.transports.socket_client import created
from tests.served import TOKEN, Answer, Served, served

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SECONDS = 60.0
LONG = "y" * 300_000  # more than 16 records


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return Issued.into(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trust(issued: Issued) -> ssl.SSLContext:
    return issued.trusting()


@asynccontextmanager
async def hub(tmp_path: Path, issued: Issued, *scripts: Any, **options: Any) -> AsyncIterator[Served]:
    async with served(tmp_path, *scripts, certificate=issued.served, **options) as home:
        yield home


async def ask(home: Served, trust: ssl.SSLContext, method: str, path: str, **options: Any) -> Answer:
    return await home.ask_tcp(method, path, {**BEARER, **options.pop("headers", {})}, ssl=trust, **options)


async def test_rest_and_an_event_stream_work_over_tls(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    async with hub(tmp_path, issued) as home:
        said = await ask(home, trust, "POST", "/api/v2/ai/apollo/message", json={"content": LONG})
        assert (said.status, said.json["response"]) == (200, f"apollo heard: {LONG}")
        session = (await created(home))["session_id"]
        head = await home.hub.state.store.head(session)
        assert head is not None
        url = f"{home.node.url}/api/v2/sessions/{session}/events"
        headers = {**BEARER, "accept": "text/event-stream", "last-event-id": f"{head.epoch}:0"}
        async with home.remote.get(url, headers=headers, ssl=trust) as response:
            await ask(home, trust, "POST", f"/api/v2/sessions/{session}/message", json={"message": LONG})
            async with asyncio.timeout(SECONDS):
                while b"turn.completed" not in await response.content.readline():
                    pass


@pytest.mark.parametrize("path", ["/ws", "/ws/ai/apollo"])
async def test_a_websocket_works_over_tls(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext, path: str
) -> None:
    async with hub(tmp_path, issued) as home:
        url = f"{home.node.url.replace('http', 'ws', 1)}{path}"
        async with connect(url, ssl=trust, additional_headers=BEARER, max_size=None) as socket:
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
            reply = json.loads(await asyncio.wait_for(socket.recv(), SECONDS))
        assert reply["id"] == 1


async def test_the_socket_of_a_session_streams_over_tls(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    async with hub(tmp_path, issued) as home:
        made = await created(home)
        url = f"wss://127.0.0.1:{home.port}/ws/socket/{made['socket_id']}"
        assert made["websocket_url"] == url
        async with connect(url, ssl=trust, additional_headers=BEARER, max_size=None) as client:
            await client.send(json.dumps({"type": "write", "content": LONG}))
            async with asyncio.timeout(SECONDS):
                while LONG not in str(await client.recv()):
                    pass


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_socketio_works_over_tls(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext, transport: str
) -> None:
    import socketio

    async with hub(tmp_path, issued) as home:
        connector = aiohttp.TCPConnector(ssl=trust)
        async with aiohttp.ClientSession(connector=connector) as http:
            client = socketio.AsyncClient(http_session=http, reconnection=False)
            await client.connect(
                home.node.url, transports=[transport], auth={"token": TOKEN}, wait_timeout=SECONDS
            )
            assert client.transport() == transport
            await client.disconnect()


@pytest.mark.long
async def test_mcp_works_over_tls(tmp_path: Path, issued: Issued, trust: ssl.SSLContext) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        hub(tmp_path, issued) as home,
        httpx2.AsyncClient(headers=BEARER, trust_env=False, timeout=60, verify=trust) as http,
        Client(streamable_http_client(f"{home.node.url}/mcp", http_client=http)) as client,
    ):
        assert (await client.list_tools()).tools


async def test_plain_text_and_tls_1_1_do_not_get_through_the_handshake(
    tmp_path: Path, issued: Issued
) -> None:
    old = bytes.fromhex("160301002f0100002b0302") + bytes(32) + bytes.fromhex("000004c013002f0100")
    async with hub(tmp_path, issued) as home:
        for sent in (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", old):
            reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
            writer.write(sent)
            async with asyncio.timeout(SECONDS):
                said = await reader.read()
            writer.close()
            assert said in (b"", bytes.fromhex("150301000202") + b"\x46", bytes.fromhex("15030200020246"))
        assert said, "TLS 1.1 is refused with the alert protocol_version"
        assert not home.server.server_state.connections


async def test_a_client_that_trusts_another_ca_does_not_connect(tmp_path: Path, issued: Issued) -> None:
    async with hub(tmp_path, issued) as home:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(home, ssl.create_default_context(), "GET", "/healthz")


async def test_security_headers_are_on_every_response_and_hsts_only_over_tls(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    async with hub(tmp_path, issued) as home:
        own = await ask(home, trust, "GET", "/healthz")
        missing = await ask(home, trust, "GET", "/none")
        async with home.remote.get(f"https://localhost:{home.port}/healthz", ssl=trust) as on_localhost:
            pass
        local = await home.ask("GET", "/healthz")
        rejected = await home.ask_tcp("GET", "/ws", UPGRADE, ssl=trust)
        assert rejected.status == 401
    for headers in (rejected.headers, own.headers, missing.headers, on_localhost.headers, local.headers):
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert own.headers["strict-transport-security"] == "max-age=15552000"
    assert rejected.headers["strict-transport-security"] == "max-age=15552000"
    assert missing.headers["strict-transport-security"] == "max-age=15552000"
    assert "strict-transport-security" not in on_localhost.headers  # would apply to all ports of localhost
    assert "strict-transport-security" not in local.headers


async def test_a_login_over_tls_gives_a_secure_cookie_of_this_host_only(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    async with hub(tmp_path, issued) as home:
        assert home.node.addresses is not None
        link = (await ask(home, trust, "POST", "/api/auth/code")).json["url"]
        console = home.node.console.removeprefix("https://")
        assert link.startswith(f"https://{console}/login?code=")
        logged_in = await home.ask_tcp(
            "GET", link.removeprefix(home.node.console), {"host": console}, ssl=trust
        )
        cookie = logged_in.headers["set-cookie"]
        name, _, rest = cookie.partition("=")
        assert name == "__Host-rhetor"
        assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(rest.split("; "))
        assert "Domain" not in rest
        pair = cookie.split(";")[0]
        own = {"host": console, "cookie": pair, "sec-fetch-site": "same-origin"}
        assert (await home.ask_tcp("GET", "/api/v2/sessions", own, ssl=trust)).status == 200
        plain = {**own, "cookie": pair.removeprefix("__Host-")}  # another site of this host could set it
        assert (await home.ask_tcp("GET", "/api/v2/sessions", plain, ssl=trust)).status == 401


async def test_origins_are_compared_with_https(tmp_path: Path, issued: Issued, trust: ssl.SSLContext) -> None:
    async with hub(tmp_path, issued) as home:
        for origin, status in (
            (f"https://127.0.0.1:{home.port}", 200),
            (f"http://127.0.0.1:{home.port}", 403),
            ("null", 403),
        ):
            answer = await ask(home, trust, "GET", "/api/v2/sessions", headers={"origin": origin})
            assert (origin, answer.status) == (origin, status)


async def test_a_new_certificate_is_for_new_connections_and_open_ones_stay(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    issued = Issued.into(tmp_path_factory.mktemp("tls"))
    async with hub(tmp_path, issued) as home:
        certificate = home.server._certificate
        assert certificate is not None
        trust = issued.trusting()
        old = await _certificate_of(home, trust)
        async with connect(
            f"wss://127.0.0.1:{home.port}/ws/ai/apollo", ssl=trust, additional_headers=BEARER
        ) as socket:
            issued.files.certificate.write_text("broken")
            certificate.look()
            certificate.look()
            assert await _certificate_of(home, trust) == old
            assert "new TLS certificate rejected, the old one stays" in caplog.text
            Issued.into(issued.files.folder)
            certificate.look()
            assert await _certificate_of(home, trust) == old  # until the files do not change any more
            certificate.look()
            assert await _certificate_of(home, trust) != old
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
            assert json.loads(await socket.recv())["id"] == 1


async def _certificate_of(home: Served, trust: ssl.SSLContext) -> bytes:
    _, writer = await asyncio.open_connection("127.0.0.1", home.port, ssl=trust)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return found


async def test_clients_that_do_not_shake_hands_are_dropped_the_oldest_first(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hub(tmp_path, issued, accepted=AcceptedConnections(most_silent=4)) as home:
        readers = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
            writer.write(b"\x16")
            readers.append((reader, writer))
        async with asyncio.timeout(SECONDS):
            assert await _end(readers[0][0]) == b""
        assert (await ask(home, trust, "GET", "/healthz")).status == 200
        monkeypatch.setattr(TlsConnection, "handshake_seconds", 0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
        async with asyncio.timeout(SECONDS):
            assert await _end(reader) == b""
        for _, each in (*readers, (reader, writer)):
            each.close()


async def _end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_request_that_is_too_large_gets_its_response_over_tls(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    async with hub(tmp_path, issued) as home:
        reader, writer = await asyncio.open_connection("127.0.0.1", home.port, ssl=trust)
        head = f"POST /api/v2/ai/apollo/message HTTP/1.1\r\nHost: 127.0.0.1:{home.port}\r\n"
        writer.write(f"{head}Content-Length: 2000000\r\n\r\n".encode() + b"y" * 2_000_000)
        async with asyncio.timeout(SECONDS):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
            await _end(reader)
        writer.close()


async def test_a_client_that_does_not_read_has_no_more_than_the_usual_buffer(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    async with hub(tmp_path, issued) as home:
        _, writer = await asyncio.open_connection("127.0.0.1", home.port, ssl=trust)
        (connection,) = await _served_connections(home)
        transport = connection.transport
        paused = asyncio.Event()
        transport.get_protocol().pause_writing = paused.set
        written = 0
        while not paused.is_set():
            transport.write(b"y" * 1000)
            written += 1000
            await asyncio.sleep(0)
        assert 64 << 10 < transport.get_write_buffer_size() < (64 << 10) + 2000
        writer.transport.abort()
        transport.abort()


async def _served_connections(home: Served) -> list[Any]:
    async with asyncio.timeout(SECONDS):
        while not (found := [c for c in home.server.server_state.connections if hasattr(c, "parser")]):  # noqa: ASYNC110
            await asyncio.sleep(0)
    return found


class Wire(asyncio.Transport):
    """The socket's transport of a connection, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def write_eof(self) -> None: ...

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport, self.heard, self.ends = transport, b"", list[str]()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.transport.writelines([b"<", data, b">"])

    def eof_received(self) -> None:
        self.ends.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.ends.append("lost")


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
async def test_however_the_bytes_are_cut_the_same_data_arrives(
    issued: Issued, trust: ssl.SSLContext, size: int
) -> None:
    wire, echo, accepted, open_ones = Wire(), Echo(), AcceptedConnections(), set[Any]()
    server = TlsConnection(issued.served.context, lambda: echo, accepted, open_ones)
    server.connection_made(wire)
    assert open_ones == {server}
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(incoming, outgoing, server_hostname="box.local")

    def exchange() -> None:
        for piece in _pieces(outgoing.read(), size):
            server.data_received(piece)
        incoming.write(bytes(wire.sent))
        wire.sent.clear()

    for _ in range(3):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        exchange()
    assert not open_ones
    sent = LONG.encode() if size > 1 else b"hello"
    for start in range(0, len(sent), 16_384):
        client.write(sent[start : start + 16_384])
    exchange()
    heard = b""
    with pytest.raises(ssl.SSLWantReadError):
        while True:
            heard += client.read(1 << 20)
    assert (echo.heard, heard.replace(b"<", b"").replace(b">", b"")) == (sent, sent)
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    exchange()
    assert (echo.ends, wire.is_closed) == (["eof"], True)
    with pytest.raises(ssl.SSLZeroReturnError):
        client.read(1)
    server.connection_lost(None)
    assert echo.ends == ["eof", "lost"]


async def test_a_connection_is_freed_without_a_garbage_collection(
    tmp_path: Path, issued: Issued, trust: ssl.SSLContext
) -> None:
    kept = list[weakref.ref[Any]]()
    async with hub(tmp_path, issued) as home:
        gc.collect()
        gc.disable()
        try:
            for sent in (
                b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % home.port,
                b"no HTTP\r\n\r\n",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", home.port, ssl=trust)
                (protocol,) = await _served_connections(home)
                kept += [weakref.ref(protocol), weakref.ref(protocol.transport._connection)]
                del protocol
                writer.write(sent)
                await reader.readline()
                writer.transport.abort()
                async with asyncio.timeout(SECONDS):
                    while home.server.server_state.connections:  # noqa: ASYNC110
                        await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            assert [ref() for ref in kept] == [None] * 4
        finally:
            gc.enable()


async def test_a_client_that_does_not_read_cannot_demand_records_of_the_protocol(
    issued: Issued, trust: ssl.SSLContext
) -> None:
    wire = Wire()
    server = TlsConnection(issued.served.context, Echo, AcceptedConnections(), set())
    server.connection_made(wire)
    server.pause_writing()  # as if the buffer of the socket's transport were full
    outgoing = ssl.MemoryBIO()
    client = trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="box.local")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    server.data_received(outgoing.read())
    assert (wire.is_closed, bytes(wire.sent)) == (True, b"")
    server.connection_lost(None)
