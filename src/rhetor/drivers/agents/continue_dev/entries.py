"""Decodes an answer in Continue's history: returns what is new in it each time that it is read.

The protocol's memory keeps what was output of the answer: `said` (number of characters), `told` and
`returned` (ids of calls), `kept` (whether its record was), `used` (whether its usage was). This module does
not know to which turn an answer belongs.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rhetor.domain.output import Plain, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.records import count, rows, table, text

_RETURNED = ("done", "errored", "canceled")


def next_one(memory: dict[str, Any]) -> None:
    """Reset the memory for the next entry, of which nothing was output yet."""
    for key in ("said", "told", "returned", "kept", "used"):
        memory.pop(key, None)


def words(message: dict[str, Any]) -> str:
    """Return the text of a message, whose content is a string or a list of parts."""
    return text(message, "content") or "".join(text(part, "text") for part in rows(message, "content"))


def news(memory: dict[str, Any], entry: dict[str, Any], said: str) -> list[Plain]:
    """Return the outputs for what is new in the entry of an answer. `said`: the text of its message."""
    message = table(entry, "message")
    return [*_text(memory, said), *_calls(memory, entry, message), *_usage(memory, message)]


def _text(memory: dict[str, Any], said: str) -> list[Plain]:
    new = said[count(memory, "said") :]
    memory["said"] = max(len(said), count(memory, "said"))
    return [Text(new)] if new else []


def _calls(memory: dict[str, Any], entry: dict[str, Any], message: dict[str, Any]) -> list[Plain]:
    outputs: list[Plain] = []
    states = {text(state, "toolCallId"): state for state in rows(entry, "toolCallStates")}
    for call in rows(message, "toolCalls"):
        id = text(call, "id")
        state = states.get(id, {})
        if _is_new(memory, "told", id):
            name = text(table(call, "function"), "name")
            outputs.append(ToolUse(id, name, _arguments(call, state), "agent"))
        status = text(state, "status")
        if status in _RETURNED and _is_new(memory, "returned", id):
            result = "".join(text(piece, "content") for piece in rows(state, "output"))
            outputs.append(ToolResult(id, result, status != "done"))
    return outputs


def _usage(memory: dict[str, Any], message: dict[str, Any]) -> list[Plain]:
    usage = table(message, "usage")
    if not usage or memory.get("used"):
        return []
    memory["used"] = True
    taken, given = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    cached = count(table(usage, "prompt_tokens_details"), "cached_tokens") or None
    return [Usage(text(usage, "model") or None, taken, given, cached, _cost(usage.get("cost_cents")))]


def _is_new(memory: dict[str, Any], key: str, id: str) -> bool:
    known = memory.setdefault(key, [])
    if id in known:
        return False
    memory[key] = [*known, id]
    return True


def _arguments(call: dict[str, Any], state: dict[str, Any]) -> Any:
    parsed = state.get("parsedArgs")
    return parsed if parsed is not None else text(table(call, "function"), "arguments")


def _cost(cents: Any) -> str | None:
    """Return the cost in USD, or None if the price is unknown, which Continue writes as 0."""
    if isinstance(cents, bool) or not isinstance(cents, int | float) or cents <= 0:
        return None
    return f"{Decimal(str(cents)) / 100:f}"
