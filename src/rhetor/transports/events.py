"""Server-sent events: a view of the log, written as it grows.

One task reads and writes; others only wait for the client to go away, or for silence. What a slow client has
not read yet is not kept for it anywhere: it is read from the log when the client comes to it. A stream that
the hub ends before its time says so in its last frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.dialects import raw, specialist
from rhetor.domain.event import PlanEnded, Position, TurnEnd
from rhetor.errors import PositionLost, RhetorError, ShuttingDown
from rhetor.hub.hub import Hub
from rhetor.hub.sending import Accepted
from rhetor.hub.watching import Reader
from rhetor.store.base import follow

from . import draining
from .tally import SSE

if TYPE_CHECKING:
    from .heads import BoundedProtocol

EXTENSION = "rhetor.http"  # of the scope: the server's end of the connection
HEARTBEAT_SECONDS = 15.0
TURN_ENDS = frozenset(kind.type for kind in get_args(TurnEnd))
PLAN_ENDS = frozenset({PlanEnded.type})
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


Batches = Callable[[Reader], AsyncIterator[bytes]]


class EventStream(Response):
    """`batches` as the body, each written in one piece, with a comment every 15 s of silence; they keep the
    reader's place up to date."""

    media_type = "text/event-stream"

    def __init__(
        self,
        batches: Batches,
        watching: AbstractContextManager[Reader],
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**HEADERS, **(headers or {})}, media_type=self.media_type)
        del self.headers["content-length"]
        self._batches = batches
        self._watching = watching
        self._wrote_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._server: BoundedProtocol = scope["extensions"][EXTENSION]
        with self._watching as reader, suppress(CallerGone):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            try:
                async with while_connected(receive), _owned(self._beat(send)):
                    await self._write(send, reader)
            except asyncio.CancelledError:
                error = _why_ended(scope, reader)
                if error is None:
                    raise
                self._break_off(scope, error)
            except RhetorError as error:
                self._break_off(scope, error)
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send, reader: Reader) -> None:
        async for batch in self._batches(reader):
            await self._send(send, batch)
            await self._server.drained(draining.STALL_SECONDS)

    def _break_off(self, scope: Scope, error: RhetorError) -> None:
        scope["app"].state.node.tally.end(SSE, error.code)
        self._server.end_stream(error_frame(error))

    async def _beat(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._wrote_at = loop.time()
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS - (loop.time() - self._wrote_at))
            if loop.time() - self._wrote_at >= HEARTBEAT_SECONDS:
                await self._send(send, b":\n\n")

    async def _send(self, send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._wrote_at = asyncio.get_running_loop().time()


def _why_ended(scope: Scope, reader: Reader) -> RhetorError | None:
    """What the hub cancelled a stream for; None: it did not."""
    if reader.dismissed:
        reader.task.uncancel()
        return ShuttingDown()
    connection = scope["state"].get("connection")
    ended: RhetorError | None = connection.ended if connection else None
    return ended


def error_frame(error: RhetorError) -> bytes:
    """The last frame of a stream that ends before its time; without an id, so that a client keeps its own."""
    said = {"type": "error", "code": error.code, "detail": error.detail, "retryable": error.retryable}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode({**error.data, **said})


def json_response(content: Any, headers: dict[str, str] | None = None, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


class CallerGone(Exception):
    """The client closed its connection before it had its answer: nobody is left to answer to."""


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """What runs inside is cancelled when the client goes away.

    Raises:
        CallerGone: it went.
    """
    inside = asyncio.current_task()
    assert inside is not None
    gone = False

    async def wait_for_the_end() -> None:
        nonlocal gone
        with suppress(RhetorError):  # a body that nobody asked for, and that has no end
            while (await receive())["type"] != "http.disconnect":
                pass
        gone = True
        inside.cancel()

    async with _owned(wait_for_the_end()):
        try:
            yield
        except asyncio.CancelledError:
            if not gone:
                raise
            inside.uncancel()  # the cancellation was ours
            raise CallerGone from None


@asynccontextmanager
async def _owned(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` beside what runs inside, and ended with it."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def turn_stream(hub: Hub, accepted: Accepted, headers: dict[str, str]) -> EventStream:
    """The turn of an accepted message as its peer's client reads it, up to the turn's end."""
    watching = hub.state.watching.reader(accepted.session_id)
    return EventStream(lambda reader: _turn(hub, accepted, reader), watching, headers)


def raw_turn_stream(hub: Hub, accepted: Accepted, headers: dict[str, str]) -> EventStream:
    """The same as raw events of the turn."""
    stream, after = accepted.session_id, accepted.after

    def batches(reader: Reader) -> AsyncIterator[bytes]:
        return _raw(hub, stream, after, reader, turn_id=accepted.turn_id, ends=TURN_ENDS)

    return EventStream(batches, hub.state.watching.reader(stream), headers)


def plan_stream(hub: Hub, plan_id: str, after: Position, headers: dict[str, str]) -> EventStream:
    """A plan's events up to its end."""
    watching = hub.state.watching.reader(plan_id)
    return EventStream(lambda reader: _raw(hub, plan_id, after, reader, ends=PLAN_ENDS), watching, headers)


def event_stream(hub: Hub, stream: str, after: Position, headers: dict[str, str]) -> EventStream:
    """A stream's events from there, and then live, without end."""
    watching = hub.state.watching.reader(stream)
    return EventStream(lambda reader: _raw(hub, stream, after, reader), watching, headers)


async def _turn(hub: Hub, accepted: Accepted, reader: Reader) -> AsyncIterator[bytes]:
    prev, reader.at = 0, accepted.after.seq
    async for records in follow(hub.state.store, accepted.session_id, accepted.after):
        frames: list[bytes] = []
        for record in records:
            if record.turn_id != accepted.turn_id:
                continue
            if frame := specialist.sse(record, accepted.peer, prev):
                frames.append(frame)
                prev = record.seq
            if record.type in TURN_ENDS:
                yield b"".join(frames)
                return
        if frames:
            yield b"".join(frames)
        reader.at = records[-1].seq


async def _raw(
    hub: Hub,
    stream: str,
    after: Position,
    reader: Reader,
    *,
    turn_id: str | None = None,
    ends: frozenset[str] = frozenset(),
) -> AsyncIterator[bytes]:
    """Frames of a stream behind `after`, of one turn where it is given, up to a type in `ends`."""
    seen = reader.at = after.seq
    try:
        async for records in follow(hub.state.store, stream, after):
            frames: list[bytes] = []
            for record in records:
                if turn_id is not None and record.turn_id != turn_id:
                    continue
                frames.append(raw.sse(record, seen))
                seen = record.seq
                if record.type in ends:
                    yield b"".join(frames)
                    return
            if frames:
                yield b"".join(frames)
            reader.at = records[-1].seq
    except PositionLost as lost:
        yield b"event: reset\ndata: %b\n\n" % msgspec.json.encode(lost.data)
