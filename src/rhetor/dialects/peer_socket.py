"""One peer over a WebSocket (`/ws/ai/{id}`): calls become commands, and events become notifications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rhetor.codec.forms import PLAIN
from rhetor.codec.jsonrpc import METHOD_NOT_FOUND, Call, Refused, notice, params_of
from rhetor.domain import event as ev
from rhetor.domain.command import SendMessage
from rhetor.domain.plan import IfBusy
from rhetor.store.base import Record

from . import raw
from .event_filter import Names, types_of
from .extras import Extras
from .notices import TURN_ENDS, numbered, shared

Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]
Sender = Annotated[str, Meta(max_length=200, pattern=PLAIN)]
Delimiter = Annotated[str, Meta(max_length=100)]
Window = Annotated[int, Meta(ge=0, le=10_000)]


class _Message(Extras, frozen=True, rename={"from_": "from"}):
    message: str
    session_id: Id | None = None
    context_window: Window | None = None
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""

    def command(self, peer: str) -> SendMessage:
        return SendMessage(
            self.whole(self.message),
            peer,
            self.session_id,
            self.context_window,
            self.execute,
            self.delimiter,
            self.if_busy,
            self.command_id,
            self.from_,
            **self.extras("params"),
        )


class _Place(msgspec.Struct):
    session_id: Id
    cursor: Id | None = None
    events: Names = []


class Chat(msgspec.Struct, frozen=True):
    """Send a message, and reply with the whole answer."""

    command: SendMessage


class Stream(msgspec.Struct, frozen=True):
    """Send a message, reply that it was accepted, and stream the answer."""

    command: SendMessage


class Subscribe(msgspec.Struct, frozen=True):
    """Follow a session, from `cursor` or else from its beginning. `wanted`: only events of these types."""

    session_id: str
    cursor: str | None = None
    wanted: frozenset[str] | None = None


def decode(call: Call, peer: str) -> Chat | Stream | Subscribe:
    """Return the request that a call to `peer` makes.

    Raises:
        Refused: the method is unknown, or its params are invalid.
        Unprocessable: a name among `events` is no type of events.
    """
    match call.method:
        case "chat":
            return Chat(params_of(call, _Message).command(peer))
        case "stream":
            return Stream(params_of(call, _Message).command(peer))
        case "subscribe":
            place = params_of(call, _Place)
            return Subscribe(place.session_id, place.cursor, types_of(place.events))
    raise Refused(METHOD_NOT_FOUND, f"unknown method {call.method[:100]!r}")


class TurnView(msgspec.Struct):
    """One turn as its client sees it. `prev`: the number of the last frame that the client has, 0 for none.

    `complete` is the last frame. A turn that did not complete ends with two frames, `error` and `complete`.
    The number of `error` is one less than the event's: the turn's `output.partial` has it, which has no frame
    here. Only a turn whose output could not be stored has none; then both frames have the event's number.
    """

    peer: str
    turn_id: str
    prev: int = 0
    is_over: bool = False

    def encode(self, record: Record) -> bytes:
        if record.turn_id != self.turn_id:
            return b""
        self.is_over = self.is_over or record.type in TURN_ENDS
        frames = shared(record, f"ws.turn.{self.peer}", self.prev, self._frames)
        self.prev = record.seq if frames else self.prev
        return frames

    def _frames(self, record: Record, prev: int) -> Iterator[bytes]:
        if found := _notification(record.event.payload):
            kind, params = found
            if kind != "error":
                yield self._frame(record, kind, params, numbered(record, prev))
                return
            seq = record.seq if prev == record.seq - 1 else record.seq - 1
            yield self._frame(record, kind, params, numbered(record, prev, seq=seq))
            yield self._frame(record, "complete", {}, numbered(record, seq))

    def _frame(self, record: Record, kind: str, params: dict[str, Any], place: dict[str, Any]) -> bytes:
        turn = {"specialist_id": self.peer, "session_id": record.stream, "turn_id": record.turn_id}
        return notice(f"stream.{kind}", {**params, **turn, **place})


def _notification(payload: ev.Payload) -> tuple[str, dict[str, Any]] | None:
    """Return the kind and the params of the event's notification; None if the dialect leaves it out."""
    match payload:
        case ev.OutputDelta(text, "answer"):
            return "chunk", {"content": text}
        case ev.OutputDelta(text, channel):
            return "chunk", {"content": text, "channel": channel}
        case ev.TurnCompleted():
            end = {"finish_reason": payload.finish_reason, "usage": payload.usage, "cost": payload.cost}
            return "complete", {**end, "execution_time": payload.seconds}
        case ev.TurnFailed(code, detail, retryable, data):
            return "error", {**data, "code": code, "detail": detail, "retryable": retryable}
        case ev.TurnCancelled(by):
            return "error", {"code": "cancelled", "detail": f"cancelled by {by}", "retryable": True}
        case ev.TurnInterrupted(reason):
            return "error", {"code": "interrupted", "detail": reason, "retryable": True}
        case ev.ToolCalled():
            return "tool_call", ev.data_of(payload)
        case ev.ToolReturned():
            return "tool_result", ev.data_of(payload)
        case ev.AgentPlan():
            return "plan", ev.data_of(payload)
        case ev.PermissionAsked():
            return "permission", ev.data_of(payload)
        case ev.BudgetReached():
            return "budget", ev.data_of(payload)
        case ev.QuotaPaused():
            return "quota_paused", ev.data_of(payload)
        case ev.TurnStarted(peer, instead_of=str(before)):
            return "passed_on", {"from": before, "to": peer}
    return None


class RawView(msgspec.Struct):
    """Every event of a session, unchanged, as `event` notifications. `prev`: the number of the last event
    that the client has, 0 for none. `wanted`: only events of these types."""

    prev: int
    is_over: bool = False
    wanted: frozenset[str] | None = None

    def encode(self, record: Record) -> bytes:
        if self.wanted is not None and record.type not in self.wanted:
            return b""
        frames = shared(record, "ws.raw", self.prev, _raw)
        self.prev = record.seq
        return frames


def _raw(record: Record, prev: int) -> Iterator[bytes]:
    yield b'{"jsonrpc":"2.0","method":"event","params":%b}' % raw.encode(record, prev)
