"""The APIs of the hub on TCP and on the Unix socket, and the first request of their clients, as bytes.

Each attack is made through all of them, so that an API which skips the gate is noticed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.hostile.raw import Reply
from tests.served import TOKEN, Served

SECONDS = 25.0
Line = tuple[str, str]
UPGRADE: tuple[Line, ...] = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
JSON: tuple[Line, ...] = (("Content-Type", "application/json"),)
BEARER: Line = ("Authorization", f"Bearer {TOKEN}")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "knocking", "version": "1"},
    },
}


@dataclass(frozen=True)
class Entrance:
    """The first request of a client of one API. `is_open`: it needs no token, because the client sends the
    token in a later packet. `answer`: the status of the answer to a client with the token."""

    name: str
    method: str
    path: str
    answer: int
    lines: Sequence[Line] = ()
    body: bytes = b""
    is_open: bool = field(default=False)

    @property
    def is_websocket(self) -> bool:
        return self.lines == UPGRADE

    def request(self, host: str, lines: Sequence[Line]) -> bytes:
        """Return the request with these further lines in its head."""
        length = (("Content-Length", str(len(self.body))),) if self.body else ()
        head = [("Host", host), *self.lines, *length, *lines] if host else [*self.lines, *length, *lines]
        written = "".join(f"{name}: {value}\r\n" for name, value in head)
        return f"{self.method} {self.path} HTTP/1.1\r\n{written}\r\n".encode() + self.body


def posted(value: object) -> bytes:
    return json.dumps(value).encode()


# `shown` and `nobody` do not exist, so the answer to a valid client is 404; `rhetor` is the hub's own socket
ENTRANCES = (
    Entrance("rest, reading", "GET", "/api/v2/ai", 200),
    Entrance(
        "rest, sending", "POST", "/api/v2/ai/apollo/message", 200, JSON, posted({"content": "knocking"})
    ),
    Entrance("rest, unknown path", "GET", "/no/such/path", 404),
    Entrance("sse", "GET", "/api/v2/sessions/nobody/events", 404, (("Accept", "text/event-stream"),)),
    Entrance("ws", "GET", "/ws", 101, UPGRADE),
    Entrance("ws.ai", "GET", "/ws/ai/apollo", 101, UPGRADE),
    Entrance("ws.socket", "GET", "/ws/socket/rhetor", 101, UPGRADE),
    Entrance("ws.attach", "GET", "/ws/attach/nobody", 404, UPGRADE),
    Entrance("ws.mcp", "GET", "/ws/mcp", 101, UPGRADE),
    Entrance(
        "mcp",
        "POST",
        "/mcp",
        200,
        (*JSON, ("Accept", "application/json, text/event-stream")),
        posted(INITIALIZE),
    ),
    Entrance("socketio, polling", "GET", "/socket.io/?EIO=4&transport=polling", 200, is_open=True),
    Entrance("socketio, websocket", "GET", "/socket.io/?EIO=4&transport=websocket", 101, UPGRADE, b"", True),
    Entrance("login", "GET", "/login?code=none", 421, is_open=True),
    Entrance("health", "GET", "/healthz", 200, is_open=True),
)
APIS = {entrance.name: entrance for entrance in ENTRANCES}


async def knock(
    home: Served, entrance: Entrance, *lines: Line, host: str | None = None, local: bool = False
) -> Reply:
    """Send the API's first request with these lines, and read the head of the answer, and its body if it has
    a length. `host`: the Host header, the right one by default; `local`: on the owner's Unix socket."""
    if host is None:
        host = "localhost" if local else f"127.0.0.1:{home.port}"
    return await exchange(home, entrance.request(host, lines), local=local)


async def exchange(home: Served, data: bytes, *, local: bool = False) -> Reply:
    """Send these bytes; return the first answer."""
    opened = (
        asyncio.open_unix_connection(str(home.socket))
        if local
        else asyncio.open_connection("127.0.0.1", home.port)
    )
    reader, writer = await opened
    try:
        writer.write(data)
        async with asyncio.timeout(SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *rest = head.split("\r\n")[:-2]
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
            length = 0 if data.startswith(b"HEAD ") else int(headers.get("content-length", "0"))
            body = await reader.readexactly(length)
            return Reply(int(first.split(" ")[1]), headers, body)
    finally:
        writer.close()
