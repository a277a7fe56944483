"""A named socket: whole messages, written and read over a WebSocket of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

from .errors import Denied, HubError, HubUnreachable, SessionOver, error_of, unreachable
from .requests import Requests, new_key
from .retry import Backoff
from .values import SocketMessage

_MAX_FRAME_BYTES = 32 << 20


class Socket:
    """A named socket, from `Hub.socket`. Its connection is opened when it is first used, and again after a
    loss: no message is written twice or read twice. One task may write while another one reads."""

    def __init__(self, id: str, peer: str, requests: Requests, on_close: Callable[[Socket], None]) -> None:
        self._on_close = on_close
        self.id = id
        self.peer = peer
        self._requests = requests
        self._opening = asyncio.Lock()
        self._receiving = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._written = ""
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._unread: deque[SocketMessage] = deque()
        self._answers: dict[str, HubError | None] = {}
        self._cursor = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SocketMessage:
        try:
            return await self.read()
        except SessionOver:
            raise StopAsyncIteration from None

    async def write(self, content: str, *, execute: bool = False) -> None:
        """Write a message. When this returns, the hub has it.

        Raises:
            HubUnreachable: the hub did not come back in time.
            HubError: the hub rejects the message.
        """
        async with self._writing:
            id = self._written = new_key()
            await self._write(id, {"type": "write", "content": content, "execute": execute, "command_id": id})

    async def _write(self, id: str, frame: dict[str, Any]) -> None:
        sent_on: aiohttp.ClientWebSocketResponse | None = None
        while id not in self._answers:
            socket = await self._open()
            if socket is not sent_on:  # the first time, and again after a loss: the id makes it one message
                with suppress(aiohttp.ClientError, ConnectionError):
                    await socket.send_str(msgspec.json.encode(frame).decode())
                sent_on = socket
            await self._receive(lambda: id in self._answers)
        if (error := self._answers.pop(id)) is not None:
            raise error

    async def read(self) -> SocketMessage:
        """Return the next whole message.

        Raises:
            SessionOver: the socket was closed.
            HubUnreachable: the hub did not come back in time.
            HubError: a turn failed, so that its answer does not come.
        """
        while not self._unread:
            await self._open()
            await self._receive(lambda: bool(self._unread))
        message = self._unread.popleft()
        if message.error is not None:
            raise error_of(message.error)
        return message

    async def close(self) -> None:
        """End the socket and its session, and close the connection."""
        await self._requests.ask("DELETE", f"/api/ai/socket/{quote(self.id, safe='')}")
        await self.disconnect()
        self._on_close(self)

    async def disconnect(self) -> None:
        """Close the connection. The socket stays open at the hub."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def _receive(self, is_done: Any) -> None:
        """Receive frames until `is_done`, or the connection is lost. One task does it for all."""
        async with self._receiving:
            while not is_done() and (socket := self._socket) is not None:
                message = await socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    self._socket = None
                    with suppress(aiohttp.ClientError, ConnectionError):
                        await socket.close()
                    return
                self._take(msgspec.json.decode(message.data))

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "accepted":
            self._answers[frame["command_id"]] = None
        elif frame["type"] == "error" and "seq" not in frame:  # not of a turn, but of what was written
            self._answers[self._written] = error_of(frame)
        elif frame["type"] == "closed":
            raise SessionOver(f"the socket {self.id} was closed", "session_over")
        elif frame["type"] in ("read", "error"):
            error = frame if frame["type"] == "error" else None
            content, ai = frame.get("content", ""), frame.get("ai", self.peer)
            self._unread.append(SocketMessage(content, ai, frame.get("headers", []), error))
        if "seq" in frame:
            self._cursor = f"{frame['epoch']}:{frame['seq']}"

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        async with self._opening:
            backoff = Backoff(self._requests.reconnect_timeout)
            while self._socket is None:
                try:
                    self._socket = await self._connect()
                except HubUnreachable as error:
                    await backoff.pause(error)
            return self._socket

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        after = f"?cursor={quote(self._cursor, safe='')}" if self._cursor else ""
        url = f"{self._requests.url}/ws/socket/{quote(self.id, safe='')}{after}"
        try:
            return await self._requests.http.ws_connect(url, heartbeat=30.0, max_msg_size=_MAX_FRAME_BYTES)
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 421):
                raise Denied(
                    f"the hub rejected the credentials ({error.status})", "unauthenticated"
                ) from error
            if error.status == 404:
                raise SessionOver(f"the socket {self.id} was closed", "session_over") from error
            raise HubUnreachable(f"the hub rejected the WebSocket ({error.status})") from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise unreachable(error) from error
