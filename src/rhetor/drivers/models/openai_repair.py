"""Repairs the events of an OpenAI stream, so that they have the types that the API describes.

Servers with this API send `message` or `text` in place of `delta`, content as a list of parts, numbers as
text, null for what is missing, whole completions, and errors in many forms. The first choice is the answer.
"""

from __future__ import annotations

from typing import Any

from rhetor.drivers.models.lenient import (
    as_count,
    as_index,
    as_text,
    as_word,
    finish_reason,
    items,
    members,
    parted,
)
from rhetor.drivers.models.tool_call_pieces import Called, ToolCallPieces, calls_of

_COUNTS = {
    "prompt_tokens": ("prompt_tokens", "input_tokens", "prompt_eval_count"),
    "completion_tokens": ("completion_tokens", "output_tokens", "eval_count"),
}


class Repair:
    """Repairs the values of one stream, in order."""

    def __init__(self) -> None:
        self._pieces = ToolCallPieces()
        self._choice: int | None = None  # the choice that is read
        self._has_deltas = False

    @property
    def calls(self) -> list[Called]:
        """The tool calls so far."""
        return self._pieces.calls

    def reads(self, index: int) -> bool:
        """Return whether a choice with this index is the answer. It has a delta with content."""
        self._has_deltas = True
        return self.is_answer(index)

    def is_answer(self, index: int) -> bool:
        """Return whether a choice with this index is the answer."""
        if self._choice is None:
            self._choice = index
        return index == self._choice

    def chunk(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return a chunk with `choices` and `usage` of the right types."""
        given = items(value.get("choices"))
        choices = [each for each in given if self.is_answer(as_index(each.get("index")) or 0)]
        if not choices and isinstance(value.get("message"), dict):
            # Ollama's own API
            choices = [{"message": value["message"], "finish_reason": value.get("done_reason")}]
        usage = self._usage(value, choices)
        return {**value, "choices": [self._repaired(each) for each in choices], "usage": usage}

    def _repaired(self, choice: dict[str, Any]) -> dict[str, Any]:
        delta = self._delta(choice)
        finish = _finish(choice.get("finish_reason")) or _finish(choice.get("finishReason"))
        return {
            **{name: value for name, value in choice.items() if name in ("logprobs",) and value},
            "index": 0,
            "delta": delta,
            "finish_reason": finish_reason(finish) if finish else None,
        }

    def _delta(self, choice: dict[str, Any]) -> dict[str, Any]:
        said = choice.get("delta")
        delta = dict(said) if isinstance(said, dict) else {"content": said} if said else {}
        whole = choice.get("message")
        # some servers repeat the whole answer so far as `message` beside each delta
        if whole and not _has_content(delta) and not self._has_deltas:
            delta |= whole if isinstance(whole, dict) else {"content": whole}
        elif _has_content(delta):
            self._has_deltas = True
        if not _has_content(delta) and choice.get("text"):
            delta["content"] = choice["text"]
        return self._typed(delta)

    def _typed(self, delta: dict[str, Any]) -> dict[str, Any]:
        thoughts, content = parted(delta.get("content"))
        typed: dict[str, Any] = {"role": "assistant", "content": content or None}
        for name in ("refusal", "reasoning_content", "reasoning"):
            typed[name] = as_text(delta.get(name)) or None
        if not (typed["reasoning_content"] or typed["reasoning"]):
            typed["reasoning_content"] = thoughts or as_text(delta.get("thinking")) or None
        if calls := self._pieces.take(list(calls_of(delta.get("tool_calls"), delta.get("function_call")))):
            typed["tool_calls"] = calls
        return {**{n: v for n, v in delta.items() if n == "reasoning_details" and v}, **typed}

    def _usage(self, value: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any] | None:
        places = [value, *choices, value.get("x_groq")]
        given = next((u for each in places if (u := members(members(each).get("usage")))), None)
        if given is None and "eval_count" in value:
            given = value
        return counts(dict(given)) if given else None


def is_piece(values: list[dict[str, Any]]) -> bool:
    """Return whether the last of these values is a piece of an answer, and not its end or all of it."""
    last = values[-1] if values else {}
    is_chunk = any("delta" in choice for choice in items(last.get("choices")))
    return is_chunk or last.get("done") is False


def _finish(value: Any) -> str | None:
    """Return why the model stopped, which SGLang sends as an object."""
    return as_word(value.get("type")) if isinstance(value, dict) else as_word(value)


def counts(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the usage with valid numbers only; None if it has no number of tokens."""
    usage: dict[str, Any] = {}
    for name, names in _COUNTS.items():
        usage[name] = next((n for each in names if (n := as_count(given.get(each))) is not None), None)
    if usage["prompt_tokens"] is None and usage["completion_tokens"] is None:
        return None
    usage = {name: count or 0 for name, count in usage.items()}
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    details = members(given.get("prompt_tokens_details"))
    typed = {name: n for name, count in details.items() if (n := as_count(count)) is not None}
    cached = as_count(given.get("prompt_cache_hit_tokens"))  # DeepSeek
    if "cached_tokens" not in typed and cached is not None:
        typed["cached_tokens"] = cached
    thought = as_count(members(given.get("completion_tokens_details")).get("reasoning_tokens"))
    return {
        **usage,
        "prompt_tokens_details": typed or None,
        "completion_tokens_details": None if thought is None else {"reasoning_tokens": thought},
        "cost": _cost(given.get("cost")),
    }


def _cost(value: Any) -> str | None:
    """Return an amount in USD as text; None if it is not one."""
    from decimal import Decimal, InvalidOperation

    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return f"{amount:f}" if amount.is_finite() and 0 <= amount < 10**9 else None


def _has_content(delta: dict[str, Any]) -> bool:
    return any(delta.get(name) for name in ("content", "tool_calls", "function_call", "refusal"))
