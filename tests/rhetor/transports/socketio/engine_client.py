"""Minimal clients of Engine.IO: plain requests and a WebSocket, over TCP or the hub's Unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

SECONDS = 60.0
SEPARATOR = "\x1e"
Packet = str | bytes


def begins(patch: pytest.MonkeyPatch, owner: type, method: str) -> asyncio.Event:
    """Return an event that is set when the method of the server is called. It runs then up to its first
    `await` before any waiter continues."""
    called, run = asyncio.Event(), getattr(owner, method)

    def noted(*arguments: Any, **options: Any) -> Any:
        called.set()
        return run(*arguments, **options)

    patch.setattr(owner, method, noted)
    return called


@dataclass(frozen=True)
class Place:
    """The address of an endpoint. `socket`: the hub's, instead of `port`; `headers`: of each request."""

    path: str
    port: int = 0
    socket: Path | None = None
    headers: dict[str, str] | None = None

    def url(self, transport: str, sid: str = "", scheme: str = "http") -> str:
        host = "localhost" if self.socket else f"127.0.0.1:{self.port}"
        query = f"EIO=4&transport={transport}" + (f"&sid={sid}" if sid else "")
        return f"{scheme}://{host}{self.path}?{query}"

    def session(self) -> aiohttp.ClientSession:
        connector = (
            aiohttp.UnixConnector(str(self.socket), limit=0) if self.socket else aiohttp.TCPConnector(limit=0)
        )
        return aiohttp.ClientSession(connector=connector, headers=self.headers)

    def websocket(self, sid: str = "") -> Any:
        url = self.url("websocket", sid, "ws")
        options: dict[str, Any] = {"additional_headers": self.headers, "max_size": None}
        return unix_connect(str(self.socket), uri=url, **options) if self.socket else connect(url, **options)


class Engine(Protocol):
    """A connected client. `opened`: the handshake of the server."""

    opened: dict[str, Any]

    async def send(self, *packets: Packet) -> None: ...

    async def receive(self) -> Packet:
        """Return the next packet of the server. Pings are answered and skipped."""
        ...

    def cut(self) -> None: ...


class Polling:
    """A client that polls. `payloads`: the received ones, as lists of packets."""

    def __init__(self, place: Place, session: aiohttp.ClientSession) -> None:
        self.place = place
        self.session = session
        self.opened: dict[str, Any] = {}
        self.payloads: list[list[str]] = []
        self._left: list[str] = []

    @property
    def url(self) -> str:
        return self.place.url("polling", self.opened.get("sid", ""))

    async def get(self) -> tuple[int, str]:
        async with asyncio.timeout(SECONDS), self.session.get(self.url) as response:
            return response.status, await response.text()

    async def post(self, body: str | bytes) -> tuple[int, str]:
        async with asyncio.timeout(SECONDS), self.session.post(self.url, data=body) as response:
            return response.status, await response.text()

    async def open(self) -> None:
        status, text = await self.get()
        assert (status, text[:1]) == (200, "0"), text
        self.opened = json.loads(text[1:])

    async def send(self, *packets: Packet) -> None:
        assert all(isinstance(packet, str) for packet in packets)
        assert await self.post(SEPARATOR.join(map(str, packets))) == (200, "ok")

    async def receive(self) -> Packet:
        while True:
            while self._left:
                if (packet := self._left.pop(0)) != "2":
                    return packet
                await self.send("3")
            status, text = await self.get()
            if status != 200:
                raise ConnectionResetError(text)
            self._left = text.split(SEPARATOR)
            self.payloads.append(list(self._left))

    async def rest(self) -> list[str]:
        """Return the packets not received yet, up to the `noop` with which the server ends polling."""
        found, self._left = self._left, []
        while (text := (await self.get())[1]) != "6":
            found += text.split(SEPARATOR)
        return found

    def cut(self) -> None: ...


class OnWebSocket:
    """A client on a WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.opened: dict[str, Any] = {}

    async def read(self) -> Packet:
        async with asyncio.timeout(SECONDS):
            packet: Packet = await self.socket.recv()
            return packet

    async def open(self) -> None:
        packet = await self.read()
        assert isinstance(packet, str) and packet.startswith("0")
        self.opened = json.loads(packet[1:])

    async def send(self, *packets: Packet) -> None:
        for packet in packets:
            await self.socket.send(packet)

    async def receive(self) -> Packet:
        while (packet := await self.read()) == "2":
            await self.socket.send("3")
        return packet

    async def closed(self) -> tuple[int | None, str]:
        """Read to the end; return the close code and the reason of the server."""
        try:
            while True:
                await self.read()
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (None, "")

    def cut(self) -> None:
        self.socket.transport.abort()


@asynccontextmanager
async def polling(place: Place) -> AsyncIterator[Polling]:
    async with place.session() as session:
        client = Polling(place, session)
        await client.open()
        yield client


@asynccontextmanager
async def on_websocket(place: Place) -> AsyncIterator[OnWebSocket]:
    async with place.websocket() as socket:
        client = OnWebSocket(socket)
        await client.open()
        yield client


@asynccontextmanager
async def upgraded(place: Place) -> AsyncIterator[OnWebSocket]:
    """Open a client that starts polling and upgrades to a WebSocket."""
    async with polling(place) as first, place.websocket(first.opened["sid"]) as socket:
        client = OnWebSocket(socket)
        client.opened = first.opened
        await client.send("2probe")
        assert await client.read() == "3probe"
        await client.send("5")
        yield client


TRANSPORTS: dict[str, Callable[[Place], AbstractAsyncContextManager[Engine]]] = {
    "polling": polling,
    "websocket": on_websocket,
    "upgrade": upgraded,
}
