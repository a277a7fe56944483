"""OpenAI's Chat Completions API: the events of a turn as chunks of a stream, or as one completion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from rhetor.domain import event as ev
from rhetor.domain.given import arguments_text
from rhetor.errors import RhetorError
from rhetor.store.base import Record

from . import vendor_errors
from .failures import failure_of

DONE = b"data: [DONE]\n\n"
FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}
# the reasons with which a turn has failed that has no text; for this API, it is an answer
_ANSWERS_WITHOUT_TEXT = {"length", "content_filter", "refusal"}
_encode = msgspec.json.encode


def id_of(turn_id: str) -> str:
    """Return the id of a turn's completion."""
    return f"chatcmpl-{turn_id.removeprefix('t_')}"


class ChatStream(Struct):
    """The chunks of one turn, up to its end. `model`: as the client wrote it; `created`: Unix time in
    seconds; `calls`: how many tools were called so far; `begun`: the first chunk was sent."""

    turn_id: str
    model: str
    created: int
    include_usage: bool = False
    calls: int = 0
    begun: bool = False
    is_over: bool = False

    def encode(self, record: Record) -> bytes:
        if record.turn_id != self.turn_id or self.is_over or record.type == ev.MessageAccepted.type:
            return b""  # the message may be large, and is not decoded
        match record.event.payload:
            case ev.OutputDelta(text, "answer"):
                return self._delta({"content": text})
            case ev.OutputDelta(text, "reasoning"):
                return self._delta({"reasoning_content": text})
            case ev.ToolCalled(runs_at="caller") as called:
                self.calls += 1
                return self._delta({"tool_calls": [{"index": self.calls - 1, **_call(called)}]})
            case ev.TurnCompleted() | ev.TurnFailed() | ev.TurnCancelled() | ev.TurnInterrupted() as end:
                self.is_over = True
                return self._end(end)
        return b""

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._chunk(
            [{"index": 0, "delta": self._first(delta), "logprobs": None, "finish_reason": None}]
        )

    def _first(self, delta: dict[str, Any]) -> dict[str, Any]:
        if self.begun:
            return delta
        self.begun = True
        return {"role": "assistant", "content": "", **delta}

    def _end(self, end: ev.TurnEnd) -> bytes:
        reason = _finish_reason(end)
        if reason is None:
            return error_frame(failure_of(end))
        delta = self._first({})
        last = self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}])
        usage = self._chunk([], usage_of(end)) if self.include_usage else b""
        return last + usage + DONE

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = {
            "id": id_of(self.turn_id),
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }
        if self.include_usage:
            chunk["usage"] = usage
        return b"data: %b\n\n" % _encode(chunk)


def completion(records: Iterable[Record], turn_id: str, model: str, created: int) -> dict[str, Any]:
    """Return the completion that the events of a turn are.

    Raises:
        TurnFailure: the turn was not completed.
    """
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for record in records:
        match record.event.payload:
            case ev.OutputDelta(text, "reasoning"):
                thoughts.append(text)
            case ev.ToolCalled(runs_at="caller") as called:
                calls.append(_call(called))
            case ev.TurnCompleted() | ev.TurnFailed() | ev.TurnCancelled() | ev.TurnInterrupted() as end:
                return _completion(end, turn_id, model, created, "".join(thoughts), calls)
    raise ValueError("the records do not contain the end of the turn")


def _completion(
    end: ev.TurnEnd, turn_id: str, model: str, created: int, thoughts: str, calls: list[dict[str, Any]]
) -> dict[str, Any]:
    reason = _finish_reason(end)
    if reason is None:
        raise failure_of(end)
    text = end.text if isinstance(end, ev.TurnCompleted) else ""
    message: dict[str, Any] = {"role": "assistant", "content": None if calls and not text else text}
    message["refusal"] = None
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    found: dict[str, Any] = {
        "id": id_of(turn_id),
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }
    return {**found, "usage": usage_of(end)}


def error_frame(error: RhetorError) -> bytes:
    """Return the last frame of a stream that ends with an error."""
    return b"data: %b\n\n" % _encode(vendor_errors.openai(error))


def usage_of(end: ev.TurnEnd) -> dict[str, Any]:
    """Return the tokens of a turn. Clients rely on their numbers, so those that are unknown are 0."""
    found = (end.usage if isinstance(end, ev.TurnCompleted) else None) or {}
    read, written = found.get("input_tokens") or 0, found.get("output_tokens") or 0
    thought = found.get("reasoning_tokens")
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": found.get("cached_tokens") or 0},
        **({"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}),
    }


def _finish_reason(end: ev.TurnEnd) -> str | None:
    """Return why an answer ended; None if there is none."""
    match end:
        case ev.TurnCompleted(finish_reason=reason):
            return reason if reason in FINISH_REASONS else _other(reason)
        case ev.TurnFailed(code="empty_answer", data={"finish_reason": str(reason)}):
            if reason in _ANSWERS_WITHOUT_TEXT:
                return _other(reason) if reason == "refusal" else reason
    return None


def _other(reason: str) -> str:
    return "content_filter" if reason == "refusal" else "stop"


def _call(called: ev.ToolCalled) -> dict[str, Any]:
    return {
        "id": called.call_id,
        "type": "function",
        "function": {"name": called.name, "arguments": arguments_text(called.arguments)},
    }
