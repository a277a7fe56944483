"""OpenAI chat completions: encodes a turn as a request and decodes the events of its answer.

OpenRouter and local model servers have the same API. The SDK is not used, because it takes ten times as long
to encode a request and to decode its events.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from rhetor.codec.sse import ServerSentEvent
from rhetor.domain.output import Output, Usage
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.answer import Answer
from rhetor.drivers.models.answer_body import WHOLE
from rhetor.drivers.models.client import Request
from rhetor.drivers.models.json_answer import openai_fields
from rhetor.drivers.models.lenient import finish_reason
from rhetor.drivers.models.openai_repair import Repair, is_piece
from rhetor.drivers.models.parts import openai_content
from rhetor.drivers.models.stream_values import is_end, values
from rhetor.drivers.models.target import Target

_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]


class _Delta(msgspec.Struct, frozen=True):
    """A piece of an answer. OpenRouter and Ollama send `reasoning` instead of `reasoning_content`; some
    providers send both, with the same text."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: Any = None
    error: Any = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    error: Any = None


class _Details(msgspec.Struct):
    """Details of the input tokens. OpenRouter sends `cache_write_tokens` if the model's own provider charges
    for them."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """The token counts of an answer. OpenRouter adds `cost`, in USD."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _OutputDetails | None = None
    cost: Decimal | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _QuietDelta(msgspec.Struct, forbid_unknown_fields=True):
    role: Literal["assistant"] | None = None
    content: Literal[""] | None = None
    refusal: None = None


class _QuietChoice(msgspec.Struct, forbid_unknown_fields=True):
    index: int
    delta: _QuietDelta
    logprobs: None = None
    finish_reason: Literal["stop", "length", "content_filter"] | None = None


class _ExactDetails(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _ExactUsage(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _ExactDetails | None = None
    completion_tokens_details: dict[str, _Count] | None = None


class _QuietChunk(msgspec.Struct, forbid_unknown_fields=True):
    """A chunk without text, exactly as the API describes it, which needs no repair: the first one, the one
    with the finish reason, or the one with the usage."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[_QuietChoice]
    usage: _ExactUsage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    obfuscation: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_quiet = msgspec.json.Decoder(_QuietChunk).decode


def request(target: Target, system: str, history: Sequence[PastMessage], message: Prompt) -> Request:
    """Return the request for a streamed answer."""
    body = {
        "model": target.model,
        "messages": _messages(system, history, message),
        "stream": True,
        "stream_options": {"include_usage": True},
        **openai_fields(message.schema),
    }
    return Request("/chat/completions", msgspec.json.encode(body))


def _messages(system: str, history: Sequence[PastMessage], message: Prompt) -> Any:
    said = [
        {"role": earlier.role, "content": openai_content(earlier.content, earlier.attachments)}
        for earlier in history
        if earlier.content or earlier.attachments
    ]
    prompt = [{"role": "system", "content": system}] if system else []
    own = openai_content(message.content, message.attachments)
    return [*prompt, *said, {"role": "user", "content": own}]


class Completion:
    """Decodes the events of one answer. `over` is set when the provider says that the answer is complete."""

    def __init__(self, target: Target) -> None:
        self.over = False
        self.cache_written = 0
        self._target = target
        self._repair = Repair()
        self._answer = Answer(target)
        self._usage: _Usage | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing but the usage is missing."""
        return self._answer.finish is not None

    def take(self, event: ServerSentEvent) -> Sequence[Output]:
        """Return the outputs of an event.

        Raises:
            ProviderFailed: the event is an error, or cannot be read.
        """
        # nearly all events are a piece of text in the form that the API describes
        try:
            chunk = _decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._take_other(event)
        if len(chunk.choices) == 1 and not chunk.error and not chunk.usage:
            choice = chunk.choices[0]
            delta = choice.delta
            odd = choice.finish_reason or choice.error
            if delta is not None and not (odd or delta.tool_calls or delta.error):
                thought = delta.reasoning_content or delta.reasoning
                if delta.content and not (thought or delta.refusal) and self._repair.reads(choice.index):
                    return self._answer.plain(delta.content)
                if thought and not (delta.content or delta.refusal):
                    return self._answer.thought(thought)
        return self._take_other(event)

    def end(self) -> Sequence[Output]:
        """Return the last outputs, after the last event.

        Raises:
            ProviderCut: the answer is not complete.
            EmptyAnswer: it has no text.
        """
        rest, done = self._answer.end(over=self.over)
        usage = () if self._usage is None else (_usage(self._target, self._usage),)
        return (*rest, *self._last(), *usage, done)

    def _last(self) -> Sequence[Output]:
        """Return what follows the text. Subclasses have tool calls."""
        return ()

    def _take_other(self, event: ServerSentEvent) -> Sequence[Output]:
        if is_end(event):
            self.over = True
            return ()
        if event.name == "message":
            try:
                return self._take_quiet(event, _decode_quiet(event.data))
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
        return self._take_odd(event)

    def _take_quiet(self, event: ServerSentEvent, chunk: _QuietChunk) -> tuple[()]:
        choices = [choice for choice in chunk.choices if self._repair.is_answer(choice.index)]
        for choice in choices:
            self._answer.finish = choice.finish_reason or self._answer.finish
        if usage := chunk.usage:
            details = usage.prompt_tokens_details
            cached = _Details(details.cached_tokens) if details else None
            thought = _OutputDetails((usage.completion_tokens_details or {}).get("reasoning_tokens"))
            self._count(_Usage(usage.prompt_tokens, usage.completion_tokens, cached, thought))
        self._answer.see(event.data, understood=bool(choices or usage))
        return ()

    def _take_odd(self, event: ServerSentEvent) -> Sequence[Output]:
        outputs: list[Output] = []
        found = values(self._target, event, finished=self.finished)
        for value in found:
            repaired = self._repair.chunk(value)
            chunk = msgspec.convert({name: repaired[name] for name in ("choices", "usage")}, _Chunk)
            if chunk.usage is not None:
                self._count(chunk.usage)
            for choice in chunk.choices:
                outputs += self._said(choice, choice.delta or _Delta())
            self._answer.see(event.data, understood=bool(chunk.choices or chunk.usage))
            self.over = self.over or value.get("done") is True
        self.over = self.over or (event.name == WHOLE and not is_piece(found))
        return outputs

    def _count(self, usage: _Usage) -> None:
        self._usage = usage
        if details := usage.prompt_tokens_details:
            self.cache_written = details.cache_write_tokens or 0

    def _said(self, choice: _Choice, delta: _Delta) -> Sequence[Output]:
        answer = self._answer
        if choice.finish_reason:
            answer.finish = finish_reason(choice.finish_reason)
        if delta.tool_calls:
            answer.has_calls = True
        if delta.refusal:
            answer.refused = True
        thought = delta.reasoning_content or delta.reasoning
        if not thought and not delta.refusal:
            return answer.text(delta.content) if delta.content else ()
        said = (delta.content or "") + (delta.refusal or "")
        return (*answer.thought(thought or ""), *answer.text(said))


def _usage(target: Target, usage: _Usage) -> Usage:
    details, thought = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        target.ref,
        usage.prompt_tokens,
        usage.completion_tokens,
        details.cached_tokens if details else None,
        None if usage.cost is None else f"{usage.cost:f}",
        reasoning_tokens=(thought.reasoning_tokens or 0) if thought else 0,
    )
