"""One session through every API that shows it: how to follow each, and what it shows of the log.

An API carries the type, the number and the text of an event; some APIs leave some events out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import aiohttp

from rhetor.domain.event import (
    Event,
    OutputDelta,
    SessionStateChanged,
    TurnCompleted,
)
from tests.rhetor.transports.calling import calling
from tests.rhetor.transports.socket_client import connected_socket
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import Served

Carried = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame: what it carries, the number before it, and the cursor with which a reader can resume."""

    what: Carried
    prev: int
    cursor: str


class Connection:
    """A client's end: its frames as they arrive, and a cut that the server does not notice at once."""

    def __init__(self, frames: AsyncIterator[Shown], cut: Callable[[], None]) -> None:
        self.frames = frames
        self.cut = cut


@dataclass(frozen=True, slots=True)
class Api:
    """`carried`: what this API shows of an event; None for an event that it leaves out."""

    name: str
    connect: Callable[[Served, str, str], AbstractAsyncContextManager[Connection]]
    carried: Callable[[Event], Carried | None]

    def view(self, log: Iterable[Event]) -> list[Carried]:
        return [what for event in log if (what := self.carried(event)) is not None]


def digest(carried: Iterable[Carried]) -> str:
    return sha256("\n".join(map(repr, carried)).encode()).hexdigest()


def _whole(event: Event) -> Carried:
    match event.payload:
        case OutputDelta(text) | TurnCompleted(text=text) | SessionStateChanged(text):
            return event.payload.type, event.seq, text
    return event.payload.type, event.seq, ""


def _raw(frame: dict[str, object]) -> Shown:
    found: dict[str, str] = frame["data"]  # type: ignore[assignment]
    return _shown(frame, str(frame["type"]), found.get("text", found.get("state", "")))


def _shown(frame: dict[str, object], type: str, text: str) -> Shown:
    seq, prev = frame["seq"], frame["prev"]
    assert isinstance(seq, int) and isinstance(prev, int)
    return Shown((type, seq, text), prev, f"{frame['epoch']}:{seq}")


@asynccontextmanager
async def _events(home: Served, session: str, cursor: str) -> AsyncIterator[Connection]:
    url = f"http://localhost/api/v2/sessions/{session}/events"
    headers = {"accept": "text/event-stream", "last-event-id": cursor}
    async with home.local.get(url, headers=headers, timeout=aiohttp.ClientTimeout()) as response:
        assert response.status == 200, await response.text()

        async def frames() -> AsyncIterator[Shown]:
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield _raw(json.loads(line[6:]))

        yield Connection(frames(), response.close)


@asynccontextmanager
async def _peer(home: Served, session: str, cursor: str) -> AsyncIterator[Connection]:
    async with calling(home, "/ws/ai/apollo") as caller:
        await caller.result("subscribe", session_id=session, cursor=cursor)

        async def frames() -> AsyncIterator[Shown]:
            while True:
                frame = caller.all.pop() if caller.told else await caller.read()
                caller.all.clear()
                yield _raw(frame["params"])

        yield Connection(frames(), caller.socket.transport.abort)


@asynccontextmanager
async def _loop(home: Served, session: str, cursor: str) -> AsyncIterator[Connection]:
    async with calling(home, "/ws") as caller:
        await caller.result("resumeSession", sessionId=session, cursor=cursor)

        async def frames() -> AsyncIterator[Shown]:
            while True:
                frame = caller.all.pop() if caller.told else await caller.read()
                caller.all.clear()
                yield _notice(frame["method"], frame["params"])

        yield Connection(frames(), caller.socket.transport.abort)


def _notice(method: str, params: dict[str, object]) -> Shown:
    if method == "SessionStatusNotification":
        return _shown(params, "status", str(params["reason"]))
    assert method == "AIMessageChunkNotification"
    return _shown(params, "final" if params["isFinal"] else "chunk", str(params["chunk"]))


def _looped(event: Event) -> Carried | None:
    match event.payload:
        case OutputDelta(text, "answer"):
            return "chunk", event.seq, text
        case TurnCompleted():
            return "final", event.seq, ""
        case SessionStateChanged(state):
            return "status", event.seq, state
    return None


@asynccontextmanager
async def _named(home: Served, session: str, cursor: str) -> AsyncIterator[Connection]:
    listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
    socket_id = next(socket["socket_id"] for socket in listed if socket["session_id"] == session)
    async with connected_socket(home, socket_id, stream=1, cursor=cursor) as client:
        assert (await client.read())["outcome"] == "ok"

        async def frames() -> AsyncIterator[Shown]:
            while True:
                frame = await client.read()
                client.all.clear()
                text = frame["state"] if frame["type"] == "closed" else frame["content"]
                yield _shown(frame, frame["type"], text)

        yield Connection(frames(), client.socket.transport.abort)


def _read(event: Event) -> Carried | None:
    match event.payload:
        case OutputDelta(text, "answer"):
            return "chunk", event.seq, text
        case TurnCompleted(text=text):
            return "read", event.seq, text
        case SessionStateChanged("stopped"):
            return "closed", event.seq, "stopped"
    return None


@asynccontextmanager
async def _socketio(
    home: Served, session: str, cursor: str, transport: str = "websocket"
) -> AsyncIterator[Connection]:
    async with connecting(home, transport, tcp=False) as talker:
        await talker.connect()
        answer = await talker.request("subscribe", session_id=session, cursor=cursor, events=["event"])
        assert answer["outcome"] == "ok", answer

        async def frames() -> AsyncIterator[Shown]:
            while True:
                _, event = talker.take(str(await talker.engine.receive()))
                talker.events.clear()
                yield _raw(event)

        yield Connection(frames(), talker.engine.cut)


APIS = (
    Api("sse", _events, _whole),
    Api("ws.ai", _peer, _whole),
    Api("ws", _loop, _looped),
    Api("ws.socket", _named, _read),
    Api("socketio", _socketio, _whole),
    Api("socketio.polling", partial(_socketio, transport="polling"), _whole),
)
