"""Reads values of providers' answers, whatever their type is. What an answer does not depend on never fails.

It reads text from strings, numbers and lists of parts, and counts from integers, floats and strings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

# events by which a server only shows that it is alive
_SIGNS = frozenset({"", "ping", "[ping]", "pong", "keep-alive", "keepalive", "heartbeat", "null"})
_TEXT_KEYS = ("text", "content", "value", "output_text", "refusal")


def is_sign_of_life(name: str, data: bytes) -> bool:
    """Return whether an event has no content."""
    if name.lower() in ("ping", "pong", "keep-alive", "keepalive", "heartbeat"):
        return True
    return len(data) < 16 and data.strip().strip(b'":').lower().decode("latin-1") in _SIGNS


def as_text(value: Any) -> str:
    """Return the text of a string, a number, a part of content, or a list of parts; "" for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(as_text, value))
    if isinstance(value, dict):
        return next((text for key in _TEXT_KEYS if (text := as_text(value.get(key)))), "")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return msgspec.json.encode(value).decode()
    return ""


def parted(content: Any) -> tuple[str, str]:
    """Return the thoughts and the answer in a message's content, which may be a list of parts."""
    if not isinstance(content, list):
        return "", as_text(content)
    thoughts = [part for part in content if _is_thought(part)]
    return as_text([_thought(part) for part in thoughts]), as_text(
        [part for part in content if not _is_thought(part)]
    )


def _is_thought(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type")) in ("thinking", "reasoning", "reasoning.text")


def _thought(part: dict[str, Any]) -> str:
    return as_text(part.get("thinking")) or as_text(part)


def as_count(value: Any) -> int | None:
    """Return a number of tokens; None if the value is not one."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and 0 <= number < 1e15 else None


def as_index(value: Any) -> int | None:
    """Return the number of a choice or a call; None if the value is not one."""
    return as_count(value)


def as_word(value: Any) -> str | None:
    """Return a word such as a finish reason; None for an empty one, and for anything but text."""
    return value.encode("utf-8", "replace").decode().strip() or None if isinstance(value, str) else None


def as_json(value: Any) -> str:
    """Return the arguments of a call, which may be an object instead of its text."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if value is not None else ""


def members(value: Any) -> Mapping[str, Any]:
    """Return an object's members; none if the value is not an object."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a list, or the value itself if it is an object."""
    yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict))


# finish reasons of other servers, as OpenAI names them
_REASONS = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "end": "stop",
    "done": "stop",
    "complete": "stop",
    "completed": "stop",
    "finished": "stop",
    "stop_sequence": "stop",
    "stop_token": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "max_length": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "function_call": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "image_safety": "content_filter",
    "error_toxic": "content_filter",
    "error_limit": "length",
    "sensitive": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "guardrail_intervened": "content_filter",
}
_BROKEN = re.compile(r"error|abort|fail|exception|timeout|timed_out|cancel|insufficient|overload|malformed")


def is_broken(reason: str | None) -> bool:
    """Return whether an answer with this finish reason could not be finished, although the connection ends in
    good order."""
    return reason is not None and bool(_BROKEN.search(reason))


def finish_reason(word: str) -> str:
    """Return the reason as OpenAI names it, in lower case; an unknown one is kept."""
    word = word.lower()
    return _REASONS.get(word, word)
