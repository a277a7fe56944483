"""Anthropic's Messages API: the events of a turn as events of a stream, or as one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from rhetor.domain import event as ev
from rhetor.domain.given import INVALID_JSON
from rhetor.errors import RhetorError
from rhetor.store.base import Record

from . import vendor_errors
from .failures import failure_of

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
TEXT, THINKING = "text", "thinking"
STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause_turn": "pause_turn",
}
_encode = msgspec.json.encode


def id_of(turn_id: str) -> str:
    """Return the id of a turn's message."""
    return f"msg_{turn_id.removeprefix('t_')}"


class MessageStream(Struct):
    """The events of one turn, up to its end. `model`: as the client wrote it; `request_id`: names the request
    in an error; `block`: the type of the block that is open, empty if none is; `index`: of the last block."""

    turn_id: str
    model: str
    request_id: str = ""
    block: str = ""
    index: int = -1
    begun: bool = False
    is_over: bool = False

    def encode(self, record: Record) -> bytes:
        if record.turn_id != self.turn_id or self.is_over or record.type == ev.MessageAccepted.type:
            return b""  # the message may be large, and is not decoded
        match record.event.payload:
            case ev.TurnStarted():
                return self._begin()
            case ev.OutputDelta(text, "answer"):
                return self._piece(TEXT, {"type": "text_delta", "text": text})
            case ev.OutputDelta(text, "reasoning"):
                return self._piece(THINKING, {"type": "thinking_delta", "thinking": text})
            case ev.ReasoningKept("anthropic", data):
                return self._begin() + self._kept(data)
            case ev.ToolCalled(runs_at="caller") as called:
                return self._begin() + self._call(called)
            case ev.TurnCompleted() | ev.TurnFailed() | ev.TurnCancelled() | ev.TurnInterrupted() as end:
                self.is_over = True
                return self._end(end)
        return b""

    def _begin(self) -> bytes:
        """Return the first frame, if it was not sent. The tokens are known at the end."""
        if self.begun:
            return b""
        self.begun = True
        usage = {"input_tokens": 0, "output_tokens": 0}
        message = _message(self.turn_id, self.model, [], None, usage)
        return _frame("message_start", {"message": message})

    def _piece(self, kind: str, delta: dict[str, Any]) -> bytes:
        begin, opened = self._begin(), b""
        if self.block != kind:
            empty = {"type": kind, kind: ""} if kind == TEXT else {**_thinking(""), "type": kind}
            opened = self._close() + self._open(kind, empty)
        return begin + opened + self._delta(delta)

    def _kept(self, data: dict[str, Any]) -> bytes:
        """Return the frames of the vendor's own block. If it is reasoning, its text was sent before."""
        if data.get("type") != THINKING:
            return self._close() + self._open(str(data.get("type")), data) + self._close()
        opened = b""
        if self.block != THINKING:
            text = str(data.get("thinking", ""))
            opened = self._piece(THINKING, {"type": "thinking_delta", "thinking": text})
        signed = self._delta({"type": "signature_delta", "signature": str(data.get("signature", ""))})
        return opened + signed + self._close()

    def _call(self, called: ev.ToolCalled) -> bytes:
        block = {"type": "tool_use", "id": called.call_id, "name": called.name, "input": {}}
        piece = _encode(_input(called.arguments)).decode()
        begun = self._close() + self._open("tool_use", block)
        return begun + self._delta({"type": "input_json_delta", "partial_json": piece}) + self._close()

    def _open(self, kind: str, block: dict[str, Any]) -> bytes:
        self.block = kind
        self.index += 1
        return _frame("content_block_start", {"index": self.index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _frame("content_block_delta", {"index": self.index, "delta": delta})

    def _close(self) -> bytes:
        if not self.block:
            return b""
        self.block = ""
        return _frame("content_block_stop", {"index": self.index})

    def _end(self, end: ev.TurnEnd) -> bytes:
        reason = _stop_reason(end)
        if reason is None:
            return error_frame(failure_of(end), self.request_id)
        delta = {"stop_reason": reason, "stop_sequence": _stop_sequence(end)}
        last = _frame("message_delta", {"delta": delta, "usage": usage_of(end)})
        return self._begin() + self._close() + last + _frame("message_stop", {})


def message(records: Iterable[Record], turn_id: str, model: str) -> dict[str, Any]:
    """Return the message that the events of a turn are.

    Raises:
        TurnFailure: the turn was not completed.
    """
    content: list[dict[str, Any]] = []
    for record in records:
        match record.event.payload:
            case ev.OutputDelta(text, "answer"):
                _append(content, {"type": TEXT, "text": text}, "text")
            case ev.OutputDelta(text, "reasoning"):
                _append(content, _thinking(text), "thinking")
            case ev.ReasoningKept("anthropic", data):
                _keep(content, data)
            case ev.ToolCalled(runs_at="caller") as called:
                given = _input(called.arguments)
                content.append(
                    {"type": "tool_use", "id": called.call_id, "name": called.name, "input": given}
                )
            case ev.TurnCompleted() | ev.TurnFailed() | ev.TurnCancelled() | ev.TurnInterrupted() as end:
                reason = _stop_reason(end)
                if reason is None:
                    raise failure_of(end)
                return _message(turn_id, model, content, reason, usage_of(end), _stop_sequence(end))
    raise ValueError("the records do not contain the end of the turn")


def error_frame(error: RhetorError, request_id: str = "") -> bytes:
    """Return the last frame of a stream that ends with an error."""
    return b"event: error\ndata: %b\n\n" % _encode(vendor_errors.anthropic(error, request_id))


def usage_of(end: ev.TurnEnd) -> dict[str, Any]:
    """Return the tokens of a turn, 0 if they are unknown: this API has no other way to say it. The tokens
    that were read from a cache are not among the input tokens."""
    found = (end.usage if isinstance(end, ev.TurnCompleted) else None) or {}
    cached, written = found.get("cached_tokens") or 0, found.get("cache_written_tokens") or 0
    thought = found.get("reasoning_tokens")
    return {
        "input_tokens": max(0, (found.get("input_tokens") or 0) - cached - written),
        "output_tokens": found.get("output_tokens") or 0,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        **({"output_tokens_details": {"thinking_tokens": thought}} if thought else {}),
    }


def _append(content: list[dict[str, Any]], block: dict[str, Any], name: str) -> None:
    """Append a piece to the last block if it is of the same kind and open; else a new block."""
    last = content[-1] if content else {}
    if last.get("type") == block["type"] and not last.get("signature"):
        last[name] += block[name]
    else:
        content.append(block)


def _keep(content: list[dict[str, Any]], data: dict[str, Any]) -> None:
    """Put the vendor's own block in place of the pieces of its text."""
    last = content[-1] if content else {}
    if data.get("type") == THINKING and last.get("type") == THINKING and not last["signature"]:
        content.pop()
        data = {**data, "thinking": data.get("thinking") or last["thinking"]}
    content.append(data)


def _thinking(text: str) -> dict[str, Any]:
    return {"type": THINKING, "thinking": text, "signature": ""}


def _input(arguments: Any) -> dict[str, Any]:
    return arguments if isinstance(arguments, dict) else {INVALID_JSON: arguments}


def _stop_reason(end: ev.TurnEnd) -> str | None:
    """Return why an answer ended; None if there is none. An answer that was withheld is one."""
    match end:
        case ev.TurnCompleted(stop_sequence=str()):
            return "stop_sequence"
        case ev.TurnCompleted(finish_reason=reason):
            return STOP_REASONS.get(reason, "end_turn")
        case ev.TurnFailed(code="empty_answer", data={"finish_reason": str(reason)}):
            return STOP_REASONS.get(reason) if reason != "stop" else None
    return None


def _stop_sequence(end: ev.TurnEnd) -> str | None:
    """Return the client's stop sequence that ended an answer."""
    found = end.stop_sequence if isinstance(end, ev.TurnCompleted) else UNSET
    return None if found is UNSET else found


def _message(
    turn_id: str,
    model: str,
    content: list[dict[str, Any]],
    reason: str | None,
    usage: dict[str, Any],
    stop_sequence: str | None = None,
) -> dict[str, Any]:
    return {
        "id": id_of(turn_id),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stop_sequence,
        "usage": usage,
    }


def _frame(kind: str, members: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **members}))
