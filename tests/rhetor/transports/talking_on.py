"""A client of a named socket, with the `websockets` package: frames, and the bytes behind some of them."""

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


class Talker:
    """`all`: every frame that was read, in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.all: list[Frame] = []

    async def read(self) -> Frame:
        """The next frame; with its bytes as `content`, where they follow it."""
        async with asyncio.timeout(SECONDS):
            frame: Frame = json.loads(await self.socket.recv())
            if "media_type" in frame:
                frame["content"] = await self.socket.recv()
                assert isinstance(frame["content"], bytes)
        self.all.append(frame)
        return frame

    async def reads(self, count: int, kind: str = "read") -> list[Frame]:
        """The next `count` frames of a type, of those that come."""
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
        """Read to the end; the code and the reason that the server closed with."""
        try:
            while True:
                await self.read()
        except ConnectionClosed as closed:
            end = closed.rcvd
            return (end.code, end.reason) if end else (None, "")


@asynccontextmanager
async def talking_on(home: Served, socket_id: str, **query: Any) -> AsyncIterator[Talker]:
    """Over the owner's Unix socket."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    uri = f"ws://localhost/ws/socket/{socket_id}?{asked}"
    async with unix_connect(str(home.socket), uri=uri, max_size=None) as socket:
        yield Talker(socket)


async def created(home: Served, ai_name: str = "apollo", **more: Any) -> Frame:
    """A socket on a peer; it must be opened."""
    answer = await home.ask("POST", "/api/ai/socket/create", {"ai_name": ai_name, **more})
    assert answer.status == 200, answer.text
    found: Frame = answer.json
    return found
