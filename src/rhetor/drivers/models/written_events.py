"""Writes the repaired events of a stream again, for a provider's SDK."""

from __future__ import annotations

import json
from typing import Any

from rhetor.codec.lenient_json import Mender
from rhetor.codec.sse import ServerSentEvent
from rhetor.drivers.models import anthropic_repair, errors, openai_repair
from rhetor.drivers.models.answer_body import WHOLE
from rhetor.drivers.models.lenient import as_count, as_text, finish_reason, is_broken
from rhetor.drivers.models.stream_values import is_end, values
from rhetor.drivers.models.target import Target

# finish reasons that the SDKs know; any other one is the end of a whole answer
_KNOWN = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
}


class _End:
    """How an answer ends. `over`: it is complete."""

    def __init__(self, target: Target) -> None:
        self.over = False
        self._target = target
        self._finish: str | None = None

    @property
    def finished(self) -> bool:
        return self._finish is not None

    def _require_whole(self) -> None:
        if is_broken(self._finish):
            raise errors.cut(self._target, f"the provider ended it with {self._finish!r}")


class OpenAIWriter(_End):
    """Writes chunks of chat completions."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._repair = openai_repair.Repair()
        self._text, self._thoughts = Mender(), Mender()
        self._refused = self._has_calls = False

    def take(self, event: ServerSentEvent) -> bytes:
        """Return what an event becomes: any number of chunks."""
        if self.over:
            return b""
        found = values(self._target, event, finished=self.finished)
        chunks = [self._chunk(value) for value in found]
        self.over = is_end(event) or (event.name == WHOLE and not openai_repair.is_piece(found))
        return b"".join(chunks)

    def end(self) -> bytes:
        """Return the end of the stream, with a finish reason if the answer is complete."""
        self._require_whole()
        if self._finish is None and self.over:
            rest = {"content": self._text.end() or None}
            closing = self._written({}, rest, "tool_calls" if self._has_calls else "stop", None)
            return closing + b"data: [DONE]\n\n"
        return b"data: [DONE]\n\n" if self.finished else b""

    def _chunk(self, value: dict[str, Any]) -> bytes:
        chunk = self._repair.chunk(value)
        choice = chunk["choices"][0] if chunk["choices"] else {"delta": {}, "finish_reason": None}
        delta, finish = choice["delta"], choice["finish_reason"]
        self._finish = finish or self._finish
        self._has_calls = self._has_calls or bool(delta.get("tool_calls"))
        if refusal := delta.pop("refusal", None):
            self._refused = True
            delta["content"] = (delta.get("content") or "") + refusal
        return self._written(value, delta, finish, chunk["usage"])

    def _written(self, value: dict[str, Any], delta: dict[str, Any], finish: str | None, usage: Any) -> bytes:
        for name, mender in (("content", self._text), ("reasoning_content", self._thoughts)):
            if delta.get(name):
                delta[name] = mender.feed(delta[name])
        known = _KNOWN.get(finish, "stop") if finish else None
        chunk = {
            "id": as_text(value.get("id")) or "c",
            "object": "chat.completion.chunk",
            "created": as_count(value.get("created")) or 0,
            "model": as_text(value.get("model")),
            "choices": [
                {
                    "index": 0,
                    "delta": delta,
                    "finish_reason": "content_filter" if self._refused and known == "stop" else known,
                }
            ],
            "usage": usage,
        }
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class AnthropicWriter(_End):
    """Writes events of messages."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._repair = anthropic_repair.Repair()
        self._menders = {name: Mender() for name in ("text", "thinking", "partial_json")}
        self._begun = False
        self._has_calls = False
        self._usage = {"input_tokens": 0, "output_tokens": 0}

    def take(self, event: ServerSentEvent) -> bytes:
        """Return what an event becomes: any number of events."""
        if self.over:
            return b""
        found = [
            self._event(known)
            for value in values(self._target, event, finished=self.finished)
            for known in self._repair.events(event.name, value)
        ]
        if is_end(event):
            self.over = True
        return b"".join(found)

    def end(self) -> bytes:
        """Return the end of the stream, with a stop reason if the answer is complete."""
        self._require_whole()
        if not (self.over or self.finished):
            return b""
        end = b"" if self.finished else self._stop("tool_use" if self._has_calls else "end_turn")
        return end + _written({"type": "message_stop"})

    def _event(self, event: dict[str, Any]) -> bytes:
        match event["type"]:
            case "message_start":
                return self._start(event["message"])
            case "message_delta":
                self._usage |= event["usage"]
                stop = event["delta"]["stop_reason"]
                self._finish = finish_reason(stop) if stop else self._finish
                return self._stop(_STOP_REASONS.get(self._finish or "", "end_turn")) if stop else b""
            case "message_stop":
                self.over = True
                return b""  # `end` writes it
            case "content_block_start" | "content_block_stop" | "content_block_delta":
                return self._opening() + self._block(event)
        return b""

    def _start(self, message: dict[str, Any]) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        self._usage |= message["usage"]
        whole: dict[str, Any] = {
            "id": as_text(message.get("id")) or "m",
            "type": "message",
            "role": "assistant",
            "model": as_text(message.get("model")),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage,
        }
        return _written({"type": "message_start", "message": whole})

    def _opening(self) -> bytes:
        return b"" if self._begun else self._start({"usage": {}})

    def _block(self, event: dict[str, Any]) -> bytes:
        if event["type"] == "content_block_start":
            self._has_calls = self._has_calls or event["content_block"]["type"] == "tool_use"
        delta = event.get("delta") or {}
        for name, mender in self._menders.items():
            if isinstance(delta.get(name), str):
                delta[name] = mender.feed(delta[name])
        return _written(event)

    def _stop(self, reason: str) -> bytes:
        delta = {"stop_reason": reason, "stop_sequence": None}
        return self._opening() + _written({"type": "message_delta", "delta": delta, "usage": self._usage})


def _written(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
