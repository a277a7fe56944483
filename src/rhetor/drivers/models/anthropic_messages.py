"""Anthropic messages: encodes a turn as a request and decodes the events of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile
from typing import Any

import msgspec

from rhetor.codec.sse import ServerSentEvent
from rhetor.domain.output import Done, Output, Text, Usage
from rhetor.drivers.base import PastMessage
from rhetor.drivers.models.client import Request
from rhetor.drivers.models.errors import cut, failed_in_stream
from rhetor.drivers.models.target import Target

# The API requires a limit. This one is more than an answer needs, and all models accept it.
MAX_TOKENS = 16_384

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Delta(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    stop_reason: str | None = None


class _Usage(msgspec.Struct):
    """The counts so far. A count that an event leaves out has not changed."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None
    message: _Message | None = None
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Event).decode


def request(target: Target, system: str, history: Sequence[PastMessage], message: str) -> Request:
    """Return the request for a streamed answer."""
    prompt = {"system": system} if system else {}
    body = {
        "model": target.model,
        "max_tokens": MAX_TOKENS,
        "messages": _messages(history, message),
        "stream": True,
        **prompt,
    }
    return Request("/v1/messages", msgspec.json.encode(body))


def _messages(history: Sequence[PastMessage], message: str) -> Any:
    # the API rejects empty text, and an answer before the first question (the context window may begin there)
    said = dropwhile(lambda earlier: earlier.role != "user", (each for each in history if each.content))
    return [
        *({"role": each.role, "content": each.content} for each in said),
        {"role": "user", "content": message},
    ]


class Message:
    """Decodes the events of one answer. `over` is set when the provider says that the answer is complete."""

    def __init__(self, target: Target) -> None:
        self.over = False
        self._target = target
        self._stop: str | None = None
        self._stats: dict[str, int] = {}

    @property
    def cache_written(self) -> int:
        return self._stats.get("cache_creation_input_tokens", 0)

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Return the outputs of an event. An event of an unknown kind has none.

        Raises:
            ProviderFailed: the event is an error, or cannot be read.
        """
        try:
            known = _decode(event.data)
        except msgspec.DecodeError as error:
            raise cut(self._target, f"unreadable event: {error}") from error
        match known.type:
            case "content_block_delta":
                return _said(known.delta or _Delta())
            case "error":
                raise failed_in_stream(self._target, event.data)
            case "message_start" | "message_delta":
                self._count(known.message.usage if known.message else known.usage)
                self._stop = known.delta.stop_reason if known.delta else self._stop
            case "message_stop":
                self.over = True
        return ()

    def end(self) -> Sequence[Output]:
        """Return the last outputs, after the last event.

        Raises:
            ProviderCut: the answer is not complete.
        """
        if not self.over and self._stop is None:
            raise cut(self._target, "the stream ended early")
        done = Done(_FINISH.get(self._stop or "end_turn", self._stop or "stop"))
        return (self._usage(), done) if self._stats else (done,)

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            stats = msgspec.structs.asdict(usage)
            self._stats |= {name: count for name, count in stats.items() if count is not None}

    def _usage(self) -> Usage:
        """Return the usage. Anthropic's count of input tokens excludes cached tokens; ours includes them."""
        stats = self._stats
        read = stats.get("cache_read_input_tokens", 0)
        total = stats.get("input_tokens", 0) + read + self.cache_written
        cached = stats.get("cache_read_input_tokens")
        return Usage(self._target.ref, total, stats.get("output_tokens", 0), cached)


def _said(delta: _Delta) -> Sequence[Output]:
    if delta.text:
        return (Text(delta.text),)
    return (Text(delta.thinking, "reasoning"),) if delta.thinking else ()
