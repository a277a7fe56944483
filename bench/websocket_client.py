"""A client of the hub's JSON-RPC APIs over the Unix socket. It decodes only replies, not notifications."""

from __future__ import annotations

from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, unix_connect


class JsonRpc:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0

    @classmethod
    async def connect(cls, path: str, route: str) -> JsonRpc:
        """Connect to the WebSocket `route` of the hub whose Unix socket is at `path`."""
        return cls(await unix_connect(path, uri=f"ws://localhost{route}", compression=None, max_size=None))

    async def ask(self, method: str, **params: Any) -> Any:
        """Call a method and return its result. Notifications that arrive before the reply are ignored."""
        self._last += 1
        call = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        await self._socket.send(msgspec.json.encode(call).decode())
        frame = await self.until(b'"id":%d' % self._last)
        return msgspec.json.decode(frame)["result"]

    async def until(self, mark: bytes) -> bytes:
        """Read frames, and return the first one that contains `mark`."""
        while True:
            frame = await self._socket.recv(decode=False)
            if mark in frame:
                return frame

    async def aclose(self) -> None:
        await self._socket.close()
