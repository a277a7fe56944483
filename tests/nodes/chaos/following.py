"""The APIs through which clients follow a session: how each is followed, and what it shows of the log.

`follow` yields what comes after a cursor, until the connection ends. `shows` says what it must be, from the
rows of the database alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import msgspec

import aish
from aish.live import HubError, PositionLost
from tests.nodes.hubs import BEARER, TOKEN

from .places import Lost, Place, called, connected, decode, raise_unless_passing, require, talking

Carried = tuple[str, int, str]  # what kind of frame, its number, and its content
POLL_SECONDS = 0.5
PAGE = 500
OVER = ("stopped", "expired", "failed")


class Row(NamedTuple):
    """An event in the database. `data`: its payload."""

    seq: int
    type: str
    turn_id: str | None
    data: dict[str, Any]


class Shown(NamedTuple):
    """A frame. `prev`: the number before it, as the hub states it; None if this API does not."""

    what: Carried
    prev: int | None
    cursor: str


class Way(NamedTuple):
    """An API. `repeats`: it may send a frame again after a client was cut, which the client ignores."""

    name: str
    follow: Callable[[Place, str], AsyncIterator[Shown]]
    shows: Callable[[Row], Iterator[Carried]]
    repeats: bool = False


def _whole(row: Row) -> Iterator[Carried]:
    yield row.type, row.seq, _content(row.turn_id, row.data)


def _content(turn: str | None, data: Any) -> str:
    return msgspec.json.encode((turn, data), order="sorted").decode()


def _raw(frame: dict[str, Any]) -> Shown:
    what = frame["type"], frame["seq"], _content(frame["turn_id"], frame["data"])
    return Shown(what, frame["prev"], frame["cursor"])


async def _sse(place: Place, cursor: str) -> AsyncIterator[Shown]:
    url = f"{place.url}/api/v2/sessions/{place.session}/events"
    headers = {**BEARER, "accept": "text/event-stream", "last-event-id": cursor}
    async with place.http.get(url, headers=headers, timeout=place.quiet()) as stream:
        await require(stream, 200)
        name = b""
        async for line in stream.content:
            if not line.endswith(b"\n"):
                return  # cut within a line
            if line.startswith(b"event: "):
                name = line[7:].strip()
            elif line.startswith(b"data: "):
                frame = decode(line[6:])
                assert name in (b"", b"error"), (name, frame)
                if name:
                    assert frame["retryable"], frame
                    raise Lost(str(frame))
                yield _raw(frame)


async def _peer(place: Place, cursor: str) -> AsyncIterator[Shown]:
    async with connected(place, "/ws/ai/apollo") as socket:
        found = await socket.call("subscribe", session_id=place.session, cursor=cursor)
        assert found["outcome"] == "ok", found
        while True:
            frame = await socket.read()
            assert frame["method"] == "event", frame
            yield _raw(frame["params"])


async def _loop(place: Place, cursor: str) -> AsyncIterator[Shown]:
    async with connected(place, "/ws") as socket:
        found = await socket.call("resumeSession", sessionId=place.session, cursor=cursor)
        assert found["outcome"] == "ok", found
        while True:
            frame = await socket.read()
            params = frame["params"]
            if frame["method"] == "SessionStatusNotification":
                what = "status", params["seq"], params["reason"]
            else:
                assert frame["method"] == "AIMessageChunkNotification", frame
                what = "final" if params["isFinal"] else "chunk", params["seq"], params["chunk"]
            yield _numbered(what, params)


def _looped(row: Row) -> Iterator[Carried]:
    match row.type:
        case "output.delta" if row.data.get("channel", "answer") == "answer":
            yield "chunk", row.seq, row.data["text"]
        case "turn.failed" | "turn.interrupted":
            yield "status", row.seq - 1, row.data.get("code", "interrupted")
            yield "final", row.seq, ""
        case "turn.completed" | "turn.cancelled":
            yield "final", row.seq, ""
        case "session.state":
            yield "status", row.seq, row.data["state"]


async def _named(place: Place, cursor: str) -> AsyncIterator[Shown]:
    path = f"/ws/socket/{place.socket_id}?stream=1&echo=1&cursor={cursor}"
    async with connected(place, path) as socket:
        found = await socket.read()
        assert (found["type"], found.get("outcome")) == ("resumed", "ok"), found
        while True:
            frame = await socket.read()
            kind = frame["type"]
            content = frame["code" if kind == "error" else "state" if kind == "closed" else "content"]
            if "seq" not in frame:
                assert frame.get("retryable"), frame
                raise Lost(str(frame))
            yield _numbered((kind, frame["seq"], content), frame)


def _read(row: Row) -> Iterator[Carried]:
    match row.type:
        case "message.accepted":
            yield "written", row.seq, row.data["content"]
        case "output.delta":
            yield "chunk", row.seq, row.data["text"]
        case "turn.completed":
            yield "read", row.seq, row.data["text"]
        case "turn.failed" | "turn.interrupted" | "turn.cancelled":
            yield "error", row.seq, row.data.get("code", row.type.removeprefix("turn."))
        case "session.state" if row.data["state"] in OVER:
            yield "closed", row.seq, row.data["state"]


def _numbered(what: Carried, frame: dict[str, Any]) -> Shown:
    return Shown(what, frame["prev"], f"{frame['epoch']}:{frame['seq']}")


async def _socketio(place: Place, cursor: str, *, polls: bool) -> AsyncIterator[Shown]:
    async with talking(place, polls=polls) as talker:
        found = await talker.request("subscribe", session_id=place.session, cursor=cursor, events=["event"])
        assert found["outcome"] == "ok", found
        while True:
            name, frame = await talker.event()
            assert name == f"event:{place.session}", (name, frame)
            yield _raw(frame)


async def _mcp(place: Place, cursor: str) -> AsyncIterator[Shown]:
    while True:
        found = await called(place, "read_events", session_id=place.session, cursor=cursor)
        assert found["outcome"] == "ok", found
        for event in found["events"]:
            yield _raw(event)
        cursor = found["cursor"]
        if len(found["events"]) < PAGE:
            await asyncio.sleep(POLL_SECONDS)


async def _pages(place: Place, cursor: str) -> AsyncIterator[Shown]:
    while True:
        url = f"{place.url}/api/v2/sessions/{place.session}/events?limit={PAGE}&after={cursor}"
        async with place.http.get(url, headers=BEARER, timeout=place.quiet()) as answer:
            await require(answer, 200)
            found = decode(await answer.read())
        for event in found["events"]:
            yield _raw(event)
        cursor = found["cursor"]
        if len(found["events"]) < PAGE:
            await asyncio.sleep(POLL_SECONDS)


async def _aish(place: Place, cursor: str) -> AsyncIterator[Shown]:
    try:
        async with aish.connect(url=place.url, token=TOKEN, reconnect_timeout=1.0) as hub:
            session = await hub.resume(place.session)
            async with session.follow(after=cursor) as events:
                async for event in events:
                    what = event.type, event.seq, _content(event.turn_id, event.data)
                    yield Shown(what, event.prev, event.cursor)
    except PositionLost as error:
        raise AssertionError(f"aish: {error.outcome} at {cursor}") from error
    except HubError as error:
        raise_unless_passing(error, "aish follows")


WAYS = (
    Way("sse", _sse, _whole),
    Way("ws.ai", _peer, _whole),
    Way("ws", _loop, _looped, repeats=True),
    Way("ws.socket", _named, _read),
    Way("socketio", partial(_socketio, polls=False), _whole),
    Way("socketio.polling", partial(_socketio, polls=True), _whole),
    Way("mcp", _mcp, _whole),
    Way("pages", _pages, _whole),
    Way("aish", _aish, _whole),
)
