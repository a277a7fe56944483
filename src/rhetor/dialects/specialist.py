"""One turn as REST clients stream it: content, and then done or error (wire page, section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from rhetor.domain import event as ev
from rhetor.store.base import Record

from .notices import TURN_ENDS

_encode = msgspec.json.encode


def sse(record: Record, specialist_id: str, prev: int) -> bytes | None:
    """The frame of an event, None where this dialect leaves the event out. `prev`: the number of the frame
    before it on this subscription."""
    name = f"specialist.{specialist_id}"
    known = record.frames.get(name)
    if known is None:
        body = _body(record.event.payload, specialist_id)
        known = record.frames[name] = _start_of_frame(record, body) if body else b""
    return b'%b,"prev":%d}\n\n' % (known, prev) if known else None


@dataclass(slots=True)
class SseTurn:
    """A turn of the specialist, up to its end, which is the last frame."""

    specialist_id: str
    turn_id: str
    prev: int = 0
    is_over: bool = False

    def take(self, record: Record) -> bytes:
        if record.turn_id != self.turn_id:
            return b""
        frame = sse(record, self.specialist_id, self.prev)
        self.is_over = self.is_over or record.type in TURN_ENDS
        self.prev = record.seq if frame else self.prev
        return frame or b""


def _start_of_frame(record: Record, body: dict[str, Any]) -> bytes:
    body = {**body, "epoch": record.epoch, "seq": record.seq}
    return b"id: %b:%d\ndata: %b" % (record.epoch.encode(), record.seq, _encode(body)[:-1])


def _body(payload: ev.Payload, specialist_id: str) -> dict[str, Any] | None:
    who = {"specialist_id": specialist_id}
    match payload:
        case ev.OutputDelta(text, "answer"):
            return {"type": "content", "data": text, **who}
        case ev.OutputDelta(text, channel):
            return {"type": "content", "data": text, "channel": channel, **who}
        case ev.TurnCompleted():
            done = {"finish_reason": payload.finish_reason, "usage": payload.usage, "cost": payload.cost}
            return {"type": "done", **who, **done, "execution_time": payload.seconds}
        case ev.TurnFailed(code, detail, retryable, data):
            return {"type": "error", **who, **data, "code": code, "detail": detail, "retryable": retryable}
        case ev.TurnCancelled(by):
            return _broken_off("cancelled", f"cancelled by {by}", who)
        case ev.TurnInterrupted(reason):
            return _broken_off("interrupted", reason, who)
        case ev.ToolCalled():
            return {"type": "tool_call", **who, **ev.data_of(payload)}
        case ev.ToolReturned():
            return {"type": "tool_result", **who, **ev.data_of(payload)}
        case ev.PermissionAsked():
            return {"type": "permission", **who, **ev.data_of(payload)}
    return None


def _broken_off(code: str, detail: str, who: dict[str, str]) -> dict[str, Any]:
    return {"type": "error", **who, "code": code, "detail": detail, "retryable": True}
