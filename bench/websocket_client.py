"""A client of the JSON-RPC doors over the Unix socket, that looks at frames as bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, unix_connect


class JsonRpc:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0

    @classmethod
    async def connect(cls, path: str, door: str) -> JsonRpc:
        """To the door of the hub whose socket is at `path`."""
        return cls(await unix_connect(path, uri=f"ws://localhost{door}", compression=None, max_size=None))

    async def ask(self, method: str, **params: Any) -> Any:
        """The result of a call; what is told before it is dropped."""
        self._last += 1
        call = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        await self._socket.send(msgspec.json.encode(call).decode())
        frame = await self.until(b'"id":%d' % self._last)
        return msgspec.json.decode(frame)["result"]

    async def until(self, mark: bytes) -> bytes:
        """The first frame that has it."""
        while True:
            frame = await self._socket.recv(decode=False)
            if mark in frame:
                return frame

    async def aclose(self) -> None:
        await self._socket.close()
