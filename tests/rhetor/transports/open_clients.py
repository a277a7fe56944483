"""Clients that keep a connection open, one for each API, for tests of what closes connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import TOKEN, Served

SECONDS = 60.0
APIS = ("sse", "ws", "ws.ai", "ws.socket", "ws.attach")
SOCKETS = APIS[1:]
PATHS = {
    "ws": "/ws",
    "ws.ai": "/ws/ai/apollo",
    "ws.socket": "/ws/socket/rhetor",
    "ws.attach": "/ws/attach/shown",
}
BEARER: Mapping[str, str] = {"authorization": f"Bearer {TOKEN}"}
WAITS = (*PYTHON, "import sys; print('ready', flush=True); sys.stdin.read()")


@dataclass
class OpenClient:
    """An open connection. `session`: the one that an event stream follows; `said`: WebSocket messages."""

    socket: ClientConnection | aiohttp.ClientResponse
    session: str = ""
    said: list[bytes] = field(default_factory=list)

    async def call(self, method: str, **params: Any) -> Any:
        """Call a JSON-RPC method, and return the result."""
        assert isinstance(self.socket, ClientConnection)
        body = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
        await self.socket.send(json.dumps(body))
        async with asyncio.timeout(SECONDS):
            while (reply := json.loads(await self.socket.recv())).get("id") != method:
                pass
        return reply["result"]

    async def ended(self) -> tuple[int | str, str]:
        """Read to the end; return the close code and the reason, or an event stream's last event and the
        code in it."""
        async with asyncio.timeout(SECONDS):
            if isinstance(self.socket, ClientConnection):
                return await self._closed(self.socket)
            return _last_frame(await self.socket.read())

    async def _closed(self, socket: ClientConnection) -> tuple[int | str, str]:
        try:
            while True:
                item = await socket.recv()
                self.said.append(item if isinstance(item, bytes) else item.encode())
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else ("cut", "")


def _last_frame(stream: bytes) -> tuple[str, str]:
    *_, last, rest = stream.split(b"\n\n")
    assert rest == b"", "the stream ended within a frame"
    name, data = last.split(b"\n")
    return name.decode().removeprefix("event: "), json.loads(data.removeprefix(b"data: "))["code"]


@asynccontextmanager
async def terminal(home: Served) -> AsyncIterator[None]:
    """Run a program that clients can attach to."""
    await home.announce("shown", *WAITS, kind="terminal")
    yield


@asynccontextmanager
async def open_client(
    home: Served, api: str, headers: Mapping[str, str] = BEARER, **options: Any
) -> AsyncIterator[OpenClient]:
    """Connect a client of this API over TCP, which receives something live."""
    url = f"127.0.0.1:{home.port}"
    async with AsyncExitStack() as stack:
        if api == "sse":
            followed = await session(home)
            path = f"/api/v2/sessions/{followed}/events"
            asked = {**headers, "accept": "text/event-stream"}
            response = await stack.enter_async_context(home.remote.get(f"http://{url}{path}", headers=asked))
            assert response.status == 200, await response.text()
            yield OpenClient(response, followed)
        else:
            more = {name: value for name, value in headers.items() if name != "host"}
            options = {"additional_headers": more, "proxy": None, "compression": None, **options}
            options |= {"host": "127.0.0.1", "port": home.port}  # whatever host name the URL has
            url = f"ws://{headers.get('host', url)}{PATHS[api]}"
            yield OpenClient(await stack.enter_async_context(connect(url, **options)))


async def session(home: Served) -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
    return str(answer.json["id"])


async def refusal(home: Served, api: str, headers: Mapping[str, str] = BEARER) -> aiohttp.ClientResponse:
    """Return the API's response to a rejected connection."""
    asked = {
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "connection": "Upgrade",
        "upgrade": "websocket",
    }
    path = PATHS.get(api, "")
    if api == "sse":
        asked, path = {"accept": "text/event-stream"}, f"/api/v2/sessions/{await session(home)}/events"
    url = f"http://127.0.0.1:{home.port}{path}"
    async with home.remote.get(url, headers={**headers, **asked}) as response:
        await response.read()
        return response
