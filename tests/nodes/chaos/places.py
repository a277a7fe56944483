"""Where a client connects to, what it gets from there, and the ways in which it may lose its node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import msgspec

from aish.live import HubError, HubUnreachable
from tests.nodes.hubs import BEARER

QUIET_SECONDS = 20.0  # a node that says nothing for so long, not even that it is there, is lost
CLOSED = (1000, 1001, 1006, 1011, 1012)  # why a node that fails closes a WebSocket
AWAY = (429, 502, 503, 504)  # statuses with which a client tries another node
UNRESOLVED = "commit_unresolved"  # the same request with the same key may be sent again
decode = msgspec.json.decode


class Lost(Exception):
    """The node is gone, or does not accept this now: the client continues at another one."""


LOST = (Lost, aiohttp.ClientError, OSError, TimeoutError)


class Place(NamedTuple):
    """A session at a node. `socket_id`: of the named socket that the session is. `token`: of the caller."""

    http: aiohttp.ClientSession
    url: str
    session: str
    socket_id: str

    def quiet(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, sock_connect=3.0, sock_read=QUIET_SECONDS)


async def require(response: aiohttp.ClientResponse, *expected: int) -> None:
    """Raise Lost if the node cannot answer now, and fail if it gives a wrong answer."""
    if response.status not in expected:
        said = await response.text()
        assert response.status in AWAY, f"{response.method} {response.url}: {response.status} {said}"
        raise Lost(said)


class Socket:
    """A WebSocket. `received`: notifications that came before a reply."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, name: str) -> None:
        self._socket, self._name = socket, name
        self.received: list[dict[str, Any]] = []

    async def text(self) -> str:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        code, reason = self._socket.close_code, message.extra
        assert code is None or code in CLOSED, f"{self._name} closed with {code}: {reason}"
        raise Lost(f"{code} {reason}")

    async def read(self) -> dict[str, Any]:
        if self.received:
            return self.received.pop(0)
        found: dict[str, Any] = decode(await self.text())
        return found

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of JSON-RPC, and return its result."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        await self.send(json.dumps(body))
        while "id" not in (frame := decode(await self.text())):
            self.received.append(frame)
        if "error" in frame:
            raise_unless_away(frame["error"]["data"], f"{self._name} {method}")
        found: dict[str, Any] = frame["result"]
        return found


def raise_unless_away(problem: dict[str, Any], what: str) -> None:
    """Raise Lost for a problem that passes; any other is one of the product."""
    assert problem.get("retryable") or problem["code"] == UNRESOLVED, f"{what}: {problem}"
    raise Lost(str(problem))


@asynccontextmanager
async def connected(place: Place, path: str) -> AsyncIterator[Socket]:
    timeout = aiohttp.ClientWSTimeout(ws_receive=QUIET_SECONDS, ws_close=1.0)
    url = f"{place.url}{path}"
    try:
        async with place.http.ws_connect(url, headers=BEARER, timeout=timeout, max_msg_size=0) as socket:
            yield Socket(socket, path)
    except aiohttp.WSServerHandshakeError as error:
        assert error.status in AWAY, f"{url}: {error.status} {error.message}"
        raise Lost(str(error)) from error


class Talking:
    """A client of Socket.IO, over its WebSocket or by polling."""

    def __init__(self, place: Place, socket: Socket | None, sid: str) -> None:
        self._place, self._socket = place, socket
        self._url = f"{place.url}{ENGINE}&transport=polling&sid={sid}"
        self._received: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []

    async def packet(self) -> str:
        """Return the next packet; pings are answered."""
        while True:
            packet = await self._next()
            if packet == "2":
                await self.send("3")
            elif packet != "6":
                if packet.startswith(("1", "41")):
                    raise Lost("the hub has closed the session")
                return packet

    async def _next(self) -> str:
        if self._socket is not None:
            return await self._socket.text()
        if not self._received:
            async with self._place.http.get(self._url, headers=BEARER, timeout=self._place.quiet()) as answer:
                # a node that was started again does not know the session
                await require(answer, 200) if answer.status != 400 else _unknown()
                self._received = (await answer.text()).split("\x1e")
        return self._received.pop(0)

    async def send(self, packet: str) -> None:
        if self._socket is not None:
            await self._socket.send(packet)
            return
        async with self._place.http.post(self._url, data=packet, headers=BEARER) as answer:
            await require(answer, 200) if answer.status != 400 else _unknown()

    async def begin(self, auth: dict[str, Any]) -> None:
        await self.send("40" + json.dumps(auth))
        packet = await self.packet()
        if packet.startswith("44"):
            raise_unless_away(decode(packet[2:])["data"], "CONNECT")
        assert packet.startswith("40"), packet

    async def request(self, name: str, **body: Any) -> dict[str, Any]:
        """Send a request, and return its acknowledgement."""
        await self.send(f"421{json.dumps([name, body])}")
        while not (packet := await self.packet()).startswith("431["):
            self.events.append(decode(packet[2:], type=tuple[str, dict[str, Any]]))
        found: dict[str, Any] = decode(packet[3:])[0]
        if "code" in found:
            raise_unless_away(found, name)
        return found

    async def event(self) -> tuple[str, dict[str, Any]]:
        if self.events:
            return self.events.pop(0)
        return decode((await self.packet())[2:], type=tuple[str, dict[str, Any]])


ENGINE = "/socket.io/?EIO=4"


def _unknown() -> None:
    raise Lost("the node does not know the session of Engine.IO")


@asynccontextmanager
async def talking(place: Place, *, polls: bool) -> AsyncIterator[Talking]:
    token = BEARER["authorization"].removeprefix("Bearer ")
    if polls:
        async with place.http.get(f"{place.url}{ENGINE}&transport=polling", headers=BEARER) as answer:
            await require(answer, 200)
            opened = decode((await answer.text())[1:])
        talker = Talking(place, None, opened["sid"])
        await talker.begin({"token": token})
        yield talker
        return
    async with connected(place, f"{ENGINE}&transport=websocket") as socket:
        opened = decode((await socket.text())[1:])
        talker = Talking(place, socket, opened["sid"])
        await talker.begin({"token": token})
        yield talker


async def called(place: Place, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool of MCP, in the revision without sessions, and return its structured content."""
    own = "io.modelcontextprotocol/"
    meta = {f"{own}protocolVersion": MCP, f"{own}clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments, "_meta": meta}
    headers = {
        **BEARER,
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MCP,
        "mcp-method": "tools/call",
        "mcp-name": tool,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    timeout = place.quiet()
    async with place.http.post(f"{place.url}/mcp", json=body, headers=headers, timeout=timeout) as answer:
        await require(answer, 200)
        text = await answer.read()
    if answer.content_type == "text/event-stream":  # it took longer than 15 seconds
        text = next((line[6:] for line in text.split(b"\n") if line.startswith(b"data: {")), b"")
        if not text:
            raise Lost(f"{tool}: the answer was cut")
    found = decode(text)
    result: dict[str, Any] = found["result"]
    content: dict[str, Any] = result["structuredContent"]
    if result["isError"]:
        raise_unless_away(content, tool)
    return content


MCP = "2026-07-28"


def raise_unless_passing(error: HubError, what: str) -> None:
    """Do the same for an error of the client of aish."""
    passes = isinstance(error, HubUnreachable) or error.retryable or error.code == UNRESOLVED
    assert passes, f"{what}: {error.code} {error}"
    raise Lost(str(error)) from error
