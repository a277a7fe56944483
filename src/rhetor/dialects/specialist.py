"""One turn as REST clients stream it: `content` events, then `done` or `error`."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain import event as ev
from rhetor.domain.snapshot import LeftOut
from rhetor.store.base import Record

from .notices import TURN_ENDS

_encode = msgspec.json.encode


def sse(record: Record, specialist_id: str, prev: int) -> bytes | None:
    """Return the frame of an event; None if this dialect leaves the event out.

    `prev`: the number of the frame that this subscription sent before it.
    """
    name = f"specialist.{specialist_id}"
    known = record.frames.get(name)
    if known is None:
        body = _body(record.event.payload, specialist_id)
        known = record.frames[name] = _start_of_frame(record, body) if body else b""
    return b'%b,"prev":%d}\n\n' % (known, prev) if known else None


class SseTurn(msgspec.Struct):
    """One turn of a specialist. Its end is the last frame. `prev`: the number of the last frame that the
    client has, 0 for none. `unasked_to`: the number of the last event before the turn; output before it that
    came unasked is shown too. `wanted`: only events of these types, and the end."""

    specialist_id: str
    turn_id: str
    prev: int = 0
    is_over: bool = False
    unasked_to: int = 0
    wanted: frozenset[str] | None = None

    def encode(self, record: Record) -> bytes:
        if record.turn_id != self.turn_id and not self._is_unasked(record):
            return b""
        ends = record.type in TURN_ENDS
        if self.wanted is not None and record.type not in self.wanted and not ends:
            return b""
        frame = sse(record, self.specialist_id, self.prev)
        self.is_over = self.is_over or ends
        self.prev = record.seq if frame else self.prev
        return frame or b""

    def _is_unasked(self, record: Record) -> bool:
        if record.turn_id or record.seq > self.unasked_to or record.type != ev.OutputDelta.type:
            return False
        payload = record.event.payload
        return isinstance(payload, ev.OutputDelta) and payload.channel == "unsolicited"


def _start_of_frame(record: Record, body: dict[str, Any]) -> bytes:
    body = {**body, "epoch": record.epoch, "seq": record.seq}
    return b"id: %b:%d\ndata: %b" % (record.epoch.encode(), record.seq, _encode(body)[:-1])


def _body(payload: ev.Payload, specialist_id: str) -> dict[str, Any] | None:
    source = {"specialist_id": specialist_id}
    match payload:
        case ev.OutputDelta(text, "answer"):
            return {"type": "content", "data": text, **source}
        case ev.OutputDelta(text, channel):
            return {"type": "content", "data": text, "channel": channel, **source}
        case ev.TurnCompleted():
            done = {"finish_reason": payload.finish_reason, "usage": payload.usage, "cost": payload.cost}
            return {"type": "done", **source, **done, "execution_time": payload.seconds}
        case ev.TurnFailed(code, detail, retryable, data):
            error = {"code": code, "detail": detail, "retryable": retryable}
            return {"type": "error", **source, **data, **error}
        case ev.TurnCancelled(by):
            return _error("cancelled", f"cancelled by {by}", source)
        case ev.TurnInterrupted(reason):
            return _error("interrupted", reason, source)
        case ev.ToolCalled():
            return {"type": "tool_call", **source, **ev.data_of(payload)}
        case ev.ToolReturned():
            return {"type": "tool_result", **source, **ev.data_of(payload)}
        case ev.AgentPlan():
            return {"type": "plan", **source, **ev.data_of(payload)}
        case ev.PermissionAsked():
            return {"type": "permission", **source, **ev.data_of(payload)}
        case ev.PermissionAnswered():
            return {"type": "permission_answered", **source, **ev.data_of(payload)}
        case ev.BudgetReached():
            return {"type": "budget", **source, **ev.data_of(payload)}
        case ev.QuotaPaused():
            return {"type": "quota_paused", **source, **ev.data_of(payload)}
        case ev.TurnStarted(peer, instead_of=str(before)):
            return {"type": "passed_on", **source, "from": before, "to": peer}
        case ev.CheckpointFailed(code, detail, hint):
            told = {"code": code, "detail": f"no checkpoint of this turn: {detail}"}
            return {"type": "notice", **source, **told, **({"hint": hint} if hint else {})}
        case ev.CheckpointRemoved(name=name, limit=limit):
            detail = f"removed the checkpoint {name!r}, and from now on older ones ({limit})"
            return {"type": "notice", **source, "code": "checkpoint_removed", "detail": detail}
        case ev.CheckpointMade(name=name, left_out=tuple(left_out)):
            return {"type": "notice", **source, **_left_out(name, left_out)}
    return None


def _left_out(name: str, files: tuple[LeftOut, ...]) -> dict[str, Any]:
    named = ", ".join(f"{left.path} ({left.reason})" for left in files)
    return {"code": "left_out", "detail": f"not in the checkpoint {name!r}: {named}"}


def _error(code: str, detail: str, source: dict[str, str]) -> dict[str, Any]:
    return {"type": "error", **source, "code": code, "detail": detail, "retryable": True}
