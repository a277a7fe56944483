"""Clients that are bare sockets: what they do not read stays unread, and packets to them can be dropped
before their kernel sees them."""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.rhetor.transports.open_clients import PATHS, SECONDS
from tests.served import TOKEN, Served

SO_ATTACH_FILTER = 26  # socket(7); Python has no name for it
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # classic BPF: `ret 0`
RECEIVE_BYTES = 1 << 12  # so that the client's side buffers little
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CALLS = {"ws": ("resumeSession", "sessionId"), "ws.ai": ("subscribe", "session_id")}


class RawClient:
    """A client over TCP, with the token."""

    def __init__(self, connection: socket.socket, api: str) -> None:
        self.socket = connection
        self._api = api
        self._loop = asyncio.get_running_loop()
        self._read = bytearray()
        self.bytes_read = 0

    async def begin(self, home: Served, session: str, cursor: str | None) -> None:
        """Send the request to follow, and read only the head of the response."""
        await self._loop.sock_connect(self.socket, ("127.0.0.1", home.port))
        path = PATHS.get(self._api, f"/api/v2/sessions/{session}/events")
        head = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{home.port}", f"Authorization: Bearer {TOKEN}"]
        if self._api == "sse":
            head += ["Accept: text/event-stream", *([f"Last-Event-ID: {cursor}"] if cursor else [])]
        else:
            head += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
            head += [f"Sec-WebSocket-Key: {KEY}"]
        await self._loop.sock_sendall(self.socket, "\r\n".join([*head, "", ""]).encode())
        await self._until(b"\r\n\r\n")
        assert bytes(self._read).split(b" ")[1] in (b"200", b"101"), self._read
        del self._read[: self._read.index(b"\r\n\r\n") + 4]
        if self._api in CALLS:
            method, name = CALLS[self._api]
            await self.call(method, {name: session, "cursor": cursor})

    async def call(self, method: str, params: Any) -> None:
        said = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        await self.send(b"\x81", said)

    async def send(self, opcode: bytes, payload: bytes) -> None:
        """Send a masked frame of up to 64 KiB."""
        await self._loop.sock_sendall(
            self.socket, opcode + struct.pack("!BH", 0x80 | 126, len(payload)) + bytes(4) + payload
        )

    async def told(self, marker: bytes) -> list[dict[str, Any]]:
        """Return what the client receives up to a marker."""
        await self._until(marker)
        return self.objects()

    async def read_on(self) -> None:
        """Read for ever, and discard what is read."""
        while piece := await self._loop.sock_recv(self.socket, 1 << 16):
            self.bytes_read += len(piece)

    async def ended(self) -> tuple[int | str, str]:
        """Read to the end; return the close code and the reason, or a stream's last event and its code."""
        async with asyncio.timeout(SECONDS):
            while not _ends_with_close(self._read):
                if not (piece := await self._loop.sock_recv(self.socket, 1 << 20)):
                    break
                self._read += piece
        if self._api == "sse":
            last = self._frames()[-1]
            name = last.split(b"\n")[0].removeprefix(b"event: ").decode()
            return name, self.objects()[-1]["code"]
        last = self._frames()[-1]
        return struct.unpack("!H", last[:2])[0], last[2:].decode()

    def objects(self) -> list[dict[str, Any]]:
        """Return all objects that were received in whole frames."""
        found = [frame.rpartition(b"data: ")[2] for frame in self._frames() if b"{" in frame]
        return [json.loads(each) for each in found if each.endswith(b"}")]

    def pull_the_cable(self) -> None:
        """Drop all packets to this client from now on, so that nothing is acknowledged."""
        program = ctypes.create_string_buffer(DROP_ALL)
        described = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)

    async def _until(self, marker: bytes) -> None:
        looked = 0
        async with asyncio.timeout(SECONDS):
            while self._read.find(marker, looked) < 0:
                looked = max(0, len(self._read) - len(marker))
                piece = await self._loop.sock_recv(self.socket, 1 << 18)
                assert piece, "the connection ended"
                self._read += piece

    def _frames(self) -> list[bytes]:
        """Return the payloads of WebSocket frames, or the frames of an event stream."""
        if self._api == "sse":
            return _dechunked(bytes(self._read)).split(b"\n\n")[:-1]
        return _payloads(bytes(self._read))


def _ends_with_close(stream: bytearray) -> bool:
    """Return whether its last frame is a WebSocket close frame (RFC 6455, section 5.5.1)."""
    tail = bytes(stream[-127:])
    return any(tail[at] == 0x88 and tail[at + 1] == len(tail) - at - 2 for at in range(len(tail) - 1))


def _dechunked(body: bytes) -> bytes:
    found, at = [], 0
    while (end := body.find(b"\r\n", at)) > 0:
        size, at = int(body[at:end], 16), end + 2
        found.append(body[at : at + size])
        at += size + 2
    return b"".join(found)


def _payloads(stream: bytes) -> list[bytes]:
    found = []
    at = 0
    while at + 2 <= len(stream):
        size, at = stream[at + 1], at + 2
        if size > 125:
            wide = 2 if size == 126 else 8
            size, at = int.from_bytes(stream[at : at + wide], "big"), at + wide
        if at + size > len(stream):
            break
        found.append(stream[at : at + size])
        at += size
    return found


@asynccontextmanager
async def raw_client(
    home: Served, api: str, session: str = "", cursor: str | None = None, *, reads: bool = True
) -> AsyncIterator[RawClient]:
    """Open a client that follows the session after the cursor, or a terminal. `reads`: the client will
    read."""
    with socket.socket() as connection:
        connection.setblocking(False)
        if not reads:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        client = RawClient(connection, api)
        await client.begin(home, session, cursor)
        yield client
