"""A client of a named socket, with the `websockets` package: text frames, some followed by binary content."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from tests.served import Served

SECONDS = 60.0
Frame = dict[str, Any]


class SocketClient:
    """A connection to a named socket. `all`: every frame that was read, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.all: list[Frame] = []

    async def read(self) -> Frame:
        """Read the next frame; binary content that follows it becomes its `content`."""
        async with asyncio.timeout(SECONDS):
            frame: Frame = json.loads(await self.socket.recv())
            if "media_type" in frame:
                frame["content"] = await self.socket.recv()
                assert isinstance(frame["content"], bytes)
        self.all.append(frame)
        return frame

    async def reads(self, count: int, kind: str = "read") -> list[Frame]:
        """Read until `count` frames of this type have arrived; return those."""
        found: list[Frame] = []
        while len(found) < count:
            frame = await self.read()
            if frame["type"] == kind:
                found.append(frame)
        return found

    async def write(self, content: Any, **more: Any) -> None:
        await self.send({"type": "write", "content": content, **more})

    async def send(self, *frames: Any) -> None:
        for frame in frames:
            await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def write_bytes(self, content: bytes, media_type: str = "audio/wav", **more: Any) -> None:
        announced = {"type": "write", "media_type": media_type, "bytes": len(content), **more}
        await self.send(announced, content)

    async def closed(self) -> tuple[int | None, str]:
        """Read to the end; return the close code and the reason of the server."""
        try:
            while True:
                await self.read()
        except ConnectionClosed as closed:
            end = closed.rcvd
            return (end.code, end.reason) if end else (None, "")


@asynccontextmanager
async def connected_socket(home: Served, socket_id: str, **query: Any) -> AsyncIterator[SocketClient]:
    """Connect over the owner's Unix socket."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    uri = f"ws://localhost/ws/socket/{socket_id}?{asked}"
    async with unix_connect(str(home.socket), uri=uri, max_size=None) as socket:
        yield SocketClient(socket)


async def created(home: Served, ai_name: str = "apollo", **more: Any) -> Frame:
    """Create a socket on a peer; this must succeed."""
    answer = await home.ask("POST", "/api/ai/socket/create", {"ai_name": ai_name, **more})
    assert answer.status == 200, answer.text
    found: Frame = answer.json
    return found
