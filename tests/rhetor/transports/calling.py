"""A client of the JSON-RPC APIs, with the `websockets` package, that keeps all frames in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

from tests.served import TOKEN, Served

SECONDS = 60.0
Frame = dict[str, Any]


class Caller:
    """`told`: the notifications, in order of arrival; `all`: every frame."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.all: list[Any] = []
        self._last_id = 0

    @property
    def told(self) -> list[Frame]:
        return [frame for frame in self.all if isinstance(frame, dict) and "method" in frame]

    async def read(self) -> Any:
        """Read the next frame of any kind."""
        async with asyncio.timeout(SECONDS):
            self.all.append(json.loads(await self.socket.recv()))
        return self.all[-1]

    async def send(self, frame: Any) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def ask(self, method: str, params: Any = None, **named: Any) -> Frame:
        """Call a method and return the reply; notifications that arrive meanwhile are in `told`."""
        self._last_id += 1
        body = {"jsonrpc": "2.0", "id": self._last_id, "method": method}
        await self.send({**body, "params": named if params is None else params})
        return await self.reply(self._last_id)

    async def reply(self, id: Any) -> Frame:
        while True:
            frame = await self.read()
            if isinstance(frame, dict) and "method" not in frame and frame["id"] == id:
                assert frame["jsonrpc"] == "2.0"
                return dict(frame)

    async def result(self, method: str, params: Any = None, **named: Any) -> Any:
        reply = await self.ask(method, params, **named)
        assert "result" in reply, reply
        return reply["result"]

    async def code(self, method: str, params: Any = None, **named: Any) -> int:
        reply = await self.ask(method, params, **named)
        assert "error" in reply, reply
        return int(reply["error"]["code"])

    async def started(self, **params: Any) -> str:
        """Start a session of the loop, and take the status that follows the reply out of the frames."""
        result = await self.result("startSession", userId="ann", sessionParams=params)
        assert result == {"sessionId": result["sessionId"], "status": 1}
        session = str(result["sessionId"])
        assert not any(_is_status(frame, session) for frame in self.told)
        first = await self.until(lambda frame: _is_status(frame, session))
        self.all.remove(first)
        status = first["params"]
        assert (status["status"], status["reason"], status["seq"], status["prev"]) == (1, "active", 1, 0)
        return session

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Return the first notification that matches, past or future."""
        for frame in self.told:
            if wanted(frame):
                return frame
        while True:
            frame = await self.read()
            if isinstance(frame, dict) and "method" in frame and wanted(frame):
                return dict(frame)

    async def final(self, count: int = 1) -> list[Frame]:
        """Return the params of the chunks up to the `count`th final one."""
        while sum(chunk["isFinal"] for chunk in self.chunks()) < count:
            await self.read()
        return self.chunks()

    def chunks(self) -> list[Frame]:
        return [f["params"] for f in self.told if f["method"] == "AIMessageChunkNotification"]

    def statuses(self) -> list[tuple[int, str]]:
        found = [f["params"] for f in self.told if f["method"] == "SessionStatusNotification"]
        return [(params["status"], params["reason"]) for params in found]

    async def closed(self) -> tuple[int | None, str]:
        """Read to the end; return the close code and the reason of the server."""
        try:
            while True:
                await self.read()
        except ConnectionClosed as closed:
            end = closed.rcvd
            return (end.code, end.reason) if end else (None, "")


def _is_status(frame: Frame, session: str) -> bool:
    is_any = frame["method"] == "SessionStatusNotification"
    return is_any and bool(frame["params"]["sessionId"] == session)


@asynccontextmanager
async def calling(home: Served, path: str, **options: Any) -> AsyncIterator[Caller]:
    """Connect over the owner's Unix socket."""
    async with unix_connect(
        str(home.socket), uri=f"ws://localhost{path}", max_size=None, **options
    ) as socket:
        yield Caller(socket)


@asynccontextmanager
async def calling_tcp(home: Served, path: str, **options: Any) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = f"ws://127.0.0.1:{home.port}{path}"
    async with connect(url, additional_headers=headers, max_size=None, **options) as socket:
        yield Caller(socket)
