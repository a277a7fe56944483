"""OpenAI chat completions: encodes a turn as a request and decodes the events of its answer.

OpenRouter and local model servers have the same API. The SDK is not used, because it takes ten times as long
to encode a request and to decode its events.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from rhetor.codec.sse import ServerSentEvent
from rhetor.domain.output import Done, Output, Text, Usage
from rhetor.drivers.base import PastMessage
from rhetor.drivers.models.client import Request
from rhetor.drivers.models.errors import cut, failed_in_stream
from rhetor.drivers.models.target import Target


class _Delta(msgspec.Struct, frozen=True):
    """A piece of an answer. OpenRouter and Ollama send `reasoning` instead of `reasoning_content`; some
    providers send both, with the same text."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    """Details of the input tokens. OpenRouter sends `cache_write_tokens` if the model's own provider charges
    for them."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    """The token counts of an answer. OpenRouter adds `cost`, in USD."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    cost: Decimal | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


def request(target: Target, system: str, history: Sequence[PastMessage], message: str) -> Request:
    """Return the request for a streamed answer."""
    body = {
        "model": target.model,
        "messages": _messages(system, history, message),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return Request("/chat/completions", msgspec.json.encode(body))


def _messages(system: str, history: Sequence[PastMessage], message: str) -> Any:
    said = [{"role": earlier.role, "content": earlier.content} for earlier in history if earlier.content]
    prompt = [{"role": "system", "content": system}] if system else []
    return [*prompt, *said, {"role": "user", "content": message}]


class Completion:
    """Decodes the events of one answer. `over` is set when the provider says that the answer is complete."""

    def __init__(self, target: Target) -> None:
        self.over = False
        self.cache_written = 0
        self._target = target
        self._finish: str | None = None
        self._usage: _Usage | None = None

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Return the outputs of an event.

        Raises:
            ProviderFailed: the event is an error, or cannot be read.
        """
        if event.data == b"[DONE]":
            self.over = True
            return ()
        try:
            chunk = _decode(event.data)
        except msgspec.DecodeError as error:
            raise cut(self._target, f"unreadable event: {error}") from error
        if chunk.error is not None:
            raise failed_in_stream(self._target, event.data)
        if chunk.usage is not None:
            self._count(chunk.usage)
        return self._said(chunk.choices[0]) if chunk.choices else ()

    def end(self) -> Sequence[Output]:
        """Return the last outputs, after the last event.

        Raises:
            ProviderCut: the answer is not complete.
        """
        if not self.over and self._finish is None:
            raise cut(self._target, "the stream ended early")
        done = Done(_FINISH.get(self._finish or "stop", self._finish or "stop"))
        return (done,) if self._usage is None else (_usage(self._target, self._usage), done)

    def _count(self, usage: _Usage) -> None:
        self._usage = usage
        if details := usage.prompt_tokens_details:
            self.cache_written = details.cache_write_tokens or 0

    def _said(self, choice: _Choice) -> Sequence[Output]:
        self._finish = choice.finish_reason or self._finish
        delta = choice.delta
        if delta.content:
            return (Text(delta.content),)
        if thought := delta.reasoning_content or delta.reasoning:
            return (Text(thought, "reasoning"),)
        return (Text(delta.refusal),) if delta.refusal else ()


# the older name, from when a model could make only one call
_FINISH = {"function_call": "tool_calls"}


def _usage(target: Target, usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(
        target.ref,
        usage.prompt_tokens,
        usage.completion_tokens,
        details.cached_tokens if details else None,
        None if usage.cost is None else f"{usage.cost:f}",
    )
