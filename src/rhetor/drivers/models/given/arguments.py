"""The arguments of tool calls: an object in the log, text in OpenAI's API, an object in Anthropic's."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from rhetor.domain.given import INVALID_JSON
from rhetor.errors import ToolCallRefused

MOST_BYTES = 1 << 20  # of the arguments of all calls in one answer
MOST_CALLS = 128  # in one answer
LEVELS = 128  # of nested arrays and objects


def new_id() -> str:
    """Return the id of a call, unique in the session, whatever ids the model uses itself."""
    return f"call_{secrets.token_hex(8)}"


def kept(arguments: str) -> Any:
    """Return what a model called a tool with: an object, or the model's own text if it is not one, so that
    nothing is lost."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
    return value if isinstance(value, dict) and is_encodable(value) else arguments


def as_object(arguments: str) -> dict[str, Any]:
    """Return arguments that a client sent as an object, for an API that takes only objects."""
    value = kept(arguments)
    return value if isinstance(value, dict) else {INVALID_JSON: arguments}


def is_encodable(value: Any) -> bool:
    """Return whether the log takes a value: it has no lone surrogates and is not nested too deeply."""
    try:
        msgspec.json.encode(value)
    except (UnicodeError, ValueError, RecursionError):
        return False
    return not is_deep(value)


def is_deep(value: Any) -> bool:
    """Return whether arrays and objects are nested in more than `LEVELS` levels."""
    level = [value]
    for _ in range(LEVELS):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


class Allowance:
    """Limits the calls of one answer."""

    def __init__(self) -> None:
        self._bytes = 0

    def take(self, arguments: str, calls: int) -> None:
        """Count a piece of arguments. `calls`: how many calls there are so far.

        Raises:
            ToolCallRefused: there are too many, or they are too large.
        """
        self._bytes += len(arguments)
        if calls > MOST_CALLS:
            raise ToolCallRefused(f"the model made more than {MOST_CALLS} tool calls at once")
        if self._bytes > MOST_BYTES:
            raise ToolCallRefused(f"the arguments of the tool calls are larger than {MOST_BYTES} bytes")
