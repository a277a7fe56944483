"""Anthropic messages: encodes a turn as a request and decodes the events of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile
from typing import Any

import msgspec

from rhetor.codec.sse import ServerSentEvent
from rhetor.domain.output import Output, Usage
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.answer import Answer
from rhetor.drivers.models.anthropic_repair import THINKING_TOKENS, Repair
from rhetor.drivers.models.client import Request
from rhetor.drivers.models.json_answer import anthropic_fields
from rhetor.drivers.models.lenient import finish_reason
from rhetor.drivers.models.parts import anthropic_content
from rhetor.drivers.models.stream_values import is_end, values
from rhetor.drivers.models.target import Target

# The API requires a limit. This one is more than an answer needs, and all models accept it.
MAX_TOKENS = 16_384


class _Delta(msgspec.Struct):
    text: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None


_decode = msgspec.json.Decoder(_Event).decode


def request(target: Target, system: str, history: Sequence[PastMessage], message: Prompt) -> Request:
    """Return the request for a streamed answer."""
    prompt = {"system": system} if system else {}
    body = {
        "model": target.model,
        "max_tokens": MAX_TOKENS,
        "messages": _messages(history, message),
        "stream": True,
        **prompt,
        **anthropic_fields(message.schema),
    }
    return Request("/v1/messages", msgspec.json.encode(body))


def _messages(history: Sequence[PastMessage], message: Prompt) -> Any:
    # the API rejects empty text, and an answer before the first question (the context window may begin there)
    kept = (each for each in history if each.content or each.attachments)
    said = dropwhile(lambda earlier: earlier.role != "user", kept)
    return [
        *({"role": each.role, "content": anthropic_content(each.content, each.attachments)} for each in said),
        {"role": "user", "content": anthropic_content(message.content, message.attachments)},
    ]


class Message:
    """Decodes the events of one answer. `over` is set when the provider says that the answer is complete."""

    def __init__(self, target: Target) -> None:
        self.over = False
        self._target = target
        self._repair = Repair()
        self._answer = Answer(target)
        self._stats: dict[str, int] = {}

    @property
    def cache_written(self) -> int:
        return self._stats.get("cache_creation_input_tokens", 0)

    @property
    def finished(self) -> bool:
        """Whether nothing but the end is missing."""
        return self._answer.finish is not None

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Return the outputs of an event. An event of an unknown kind has none.

        Raises:
            ProviderFailed: the event is an error, or cannot be read.
        """
        # nearly all events are a piece of text in the form that the API describes
        try:
            known = _decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._take_other(event)
        if known.type == "content_block_delta" and known.delta is not None and known.delta.text:
            return self._answer.plain(known.delta.text)
        return self._take_other(event)

    def end(self) -> Sequence[Output]:
        """Return the last outputs, after the last event.

        Raises:
            ProviderCut: the answer is not complete.
            EmptyAnswer: it has no text.
        """
        rest, done = self._answer.end(over=self.over)
        rest = (*rest, *self._last())
        return (*rest, self._usage(), done) if self._stats else (*rest, done)

    def _last(self) -> Sequence[Output]:
        """Return what follows the text. Subclasses have tool calls."""
        return ()

    def _take_other(self, event: ServerSentEvent) -> Sequence[Output]:
        outputs: list[Output] = []
        self.over = self.over or is_end(event)
        for value in values(self._target, event, finished=self.finished):
            for known in self._repair.events(event.name, value):
                outputs += self._known(known, event.data)
        return outputs

    def _known(self, event: dict[str, Any], data: bytes) -> Sequence[Output]:
        answer = self._answer
        match event["type"]:
            case "content_block_delta":
                return self._said(event["delta"])
            case "content_block_start":
                answer.has_calls = answer.has_calls or event["content_block"]["type"] == "tool_use"
            case "message_start":
                self._stats |= event["message"]["usage"]
            case "message_delta":
                self._stats |= event["usage"]
                if stop := event["delta"]["stop_reason"]:
                    answer.finish = finish_reason(stop)
                answer.stop_sequence = event["delta"]["stop_sequence"] or answer.stop_sequence
            case "message_stop":
                self.over = True
            case "content_block_stop":
                pass
            case _:
                answer.see(data, understood=False)
        return ()

    def _said(self, delta: dict[str, Any]) -> Sequence[Output]:
        if text := delta.get("text"):
            return self._answer.text(text)
        return self._answer.thought(text) if (text := delta.get("thinking")) else ()

    def _usage(self) -> Usage:
        """Return the usage. Anthropic's count of input tokens excludes cached tokens; ours includes them."""
        stats = self._stats
        read = stats.get("cache_read_input_tokens", 0)
        total = stats.get("input_tokens", 0) + read + self.cache_written
        cached = stats.get("cache_read_input_tokens")
        thought = stats.get(THINKING_TOKENS, 0)
        return Usage(self._target.ref, total, stats.get("output_tokens", 0), cached, reasoning_tokens=thought)
