"""Server-sent events: a view of the log, written as the log grows.

If the hub ends a stream early, the last frame says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.dialects import raw, specialist
from rhetor.dialects.event_filter import Types
from rhetor.dialects.notices import TURN_ENDS
from rhetor.domain.event import PlanEnded, Position
from rhetor.errors import PositionLost, RhetorError
from rhetor.hub.fanout.presence import Reader
from rhetor.hub.fanout.subscriber import View
from rhetor.hub.hub import Hub
from rhetor.hub.programs.instances import take_unshown
from rhetor.hub.sessions.send import Accepted

from . import flow
from .call import Call, json_response
from .counters import SSE
from .disconnect import CallerGone, while_connected
from .flow import EXTENSION

if TYPE_CHECKING:
    from .http_protocol import BoundedProtocol

HEARTBEAT_SECONDS = 15.0
BEAT = b":\n\n"  # a comment
PLAN_ENDS = frozenset({PlanEnded.type})
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream(Response):
    """A response with the events of a stream after `after`, encoded by `view`, and `beat` every 15 s. If the
    position is lost, the last frame is a `reset`."""

    media_type = "text/event-stream"

    def __init__(
        self,
        hub: Hub,
        stream: str,
        after: Position,
        view: View,
        headers: dict[str, str] | None = None,
        beat: bytes = BEAT,
    ) -> None:
        # not by the base class, which would set a length
        self.status_code, self.background = 200, None
        self.init_headers({**HEADERS, **(headers or {})})
        self._state = hub.state
        self._stream = stream
        self._after = after
        self._view = view
        self._beat = beat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        subject = scope["state"]["principal"].subject
        with self._state.presence.reader(self._stream, subject) as reader, suppress(CallerGone):
            frames = await self._first_frames(scope, reader)
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            body = _Body(scope, send, self._beat)
            try:
                with while_connected(scope), body.beating():
                    if frames:
                        await body.write(frames)
                    await self._show(body)
            except asyncio.CancelledError:
                error = why_ended(scope, reader)
                if error is None:
                    raise
                self._break_off(scope, error)
            except RhetorError as error:
                self._break_off(scope, error)
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _first_frames(self, scope: Scope, reader: Reader) -> bytes:
        """Wait until the response may begin. Return the frames that are sent together with its head; `_show`
        sends what follows.

        Raises:
            RhetorError: the response is this error instead.
        """
        return b""

    async def _show(self, body: _Body) -> None:
        try:
            await self._state.broadcaster.follow(self._stream, self._after, self._view, body)
        except PositionLost as lost:
            await body.write(self.reset_frame(lost))

    def _break_off(self, scope: Scope, error: RhetorError) -> None:
        server: BoundedProtocol = scope["extensions"][EXTENSION]
        scope["state"]["node"].tally.end(SSE, error.code)
        server.end_stream(self.last_frame(error))

    def last_frame(self, error: RhetorError) -> bytes:
        """Return the last frame of a stream that ends early."""
        return error_frame(error)

    def reset_frame(self, lost: PositionLost) -> bytes:
        """Return the last frame of a stream whose position is lost."""
        return b"event: reset\ndata: %b\n\n" % msgspec.json.encode(lost.data)


class _Body:
    """The body of a response, as a subscriber of the broadcaster. Frames that can be written at once are
    written to the connection directly, as chunks (RFC 9112, 7.1)."""

    api = SSE

    def __init__(self, scope: Scope, send: Send, beat: bytes) -> None:
        self._beat_frame = beat
        self._server: BoundedProtocol = scope["extensions"][EXTENSION]
        self._traffic = scope["state"]["traffic"]
        self._send = send
        self.writer = self._server.writer

    def enclose(self, frames: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(frames), frames)

    def count(self, size: int) -> None:
        self._traffic.sent += size

    async def write(self, frames: bytes) -> None:
        await self._server.drained(flow.STALL_SECONDS)  # uvicorn itself would wait forever
        await self._send({"type": "http.response.body", "body": frames, "more_body": True})
        await self._server.drained(flow.STALL_SECONDS)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Write the beat every `HEARTBEAT_SECONDS`, unless the client still has something else to read."""
        self._beat_later()
        try:
            yield
        finally:
            self._timer.cancel()

    def _beat_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        beat = self.enclose(self._beat_frame)
        if self.writer.put(beat) is not False:
            self.count(len(beat))
        self._beat_later()


def why_ended(scope: Scope, reader: Reader) -> RhetorError | None:
    """Return why the hub cancelled a stream; None if it did not."""
    if reader.ended is not None:
        reader.task.uncancel()
        return reader.ended
    connection = scope["state"].get("connection")
    ended: RhetorError | None = connection.ended if connection else None
    return ended


def error_frame(error: RhetorError) -> bytes:
    """Return the last frame of a stream that ends early. It has no id, so the client keeps its cursor."""
    said = {"type": "error", "code": error.code, "detail": error.detail, "retryable": error.retryable}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode({**error.data, **said})


def turn_stream(
    hub: Hub, accepted: Accepted, headers: dict[str, str], ai: str, wanted: Types | None = None
) -> EventStream:
    """Stream the turn of an accepted message up to its end, as `content` events, then `done` or `error`. What
    the peer's program printed unasked before the turn, and nobody has seen, comes first. `ai`: the peer as
    the client wrote it. `wanted`: only events of these types, and the end."""
    unshown = accepted.unshown or take_unshown(hub.state, accepted.session_id, accepted.after)
    view = specialist.SseTurn(ai, accepted.turn_id, unasked_to=accepted.after.seq, wanted=wanted)
    return EventStream(hub, accepted.session_id, unshown or accepted.after, view, headers)


def raw_turn_stream(
    hub: Hub, accepted: Accepted, headers: dict[str, str], wanted: Types | None = None
) -> EventStream:
    """Stream the turn of an accepted message up to its end, as raw events."""
    view = raw.SseView(accepted.after.seq, accepted.turn_id, TURN_ENDS, wanted=wanted)
    return EventStream(hub, accepted.session_id, accepted.after, view, headers)


def plan_stream(
    hub: Hub, plan_id: str, after: Position, headers: dict[str, str], wanted: Types | None = None
) -> EventStream:
    """Stream a plan's events up to its end."""
    return EventStream(hub, plan_id, after, raw.SseView(after.seq, ends=PLAN_ENDS, wanted=wanted), headers)


def planned(call: Call, plan_id: str, after: Position, notices: dict[str, str]) -> Response:
    """Stream the events of a plan that has just started. If the client prefers not to wait, return only their
    cursor."""
    headers = {"x-plan-id": plan_id, "x-cursor": str(after), **notices}
    if not call.prefers_not_to_wait:
        return plan_stream(call.hub, plan_id, after, headers)
    applied = {**headers, "preference-applied": "respond-async"}
    return json_response({"plan_id": plan_id, "cursor": str(after)}, applied, status=202)
