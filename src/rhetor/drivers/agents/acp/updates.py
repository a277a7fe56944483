"""Decodes the updates of an ACP session: text, tool calls assembled from several updates, usage and cost.

Any field of an agent's JSON may be missing or have another type. This module knows neither JSON-RPC nor the
state of a session. Schema: https://agentclientprotocol.com/protocol/schema, version 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from rhetor.domain.event import Channel
from rhetor.domain.output import Plain, Text, ToolResult, ToolUse, Usage
from rhetor.drivers.agents.records import count, rows, table, text

MAX_CALLS = 1000  # calls of a turn that are remembered; the oldest is forgotten first

_CHANNELS: dict[str, Channel] = {"agent_message_chunk": "answer", "agent_thought_chunk": "reasoning"}
_ENDS = ("completed", "failed")
_DESCRIBING = ("title", "kind", "locations", "content")


def delta(update: dict[str, Any]) -> Text | None:
    """Return the text that an update adds, or None if it is not a chunk of text."""
    channel = _CHANNELS.get(text(update, "sessionUpdate"))
    content = table(update, "content")
    if channel is None or content.get("type") != "text" or not isinstance(content.get("text"), str):
        return None
    return Text(content["text"], channel)


class _Call(msgspec.Struct):
    name: str
    known: dict[str, Any] = msgspec.field(default_factory=dict)
    told: bool = False
    done: bool = False


class Calls:
    """The tool calls of a turn.

    A call is output once, when its arguments are complete: agents announce a call before they have them. Its
    result is output once too. Updates of an earlier turn's call are ignored.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self._earlier: dict[str, None] = {}

    def take(self, update: dict[str, Any]) -> list[Plain]:
        """Return the outputs of a `tool_call` or a `tool_call_update`."""
        is_update = text(update, "sessionUpdate") == "tool_call_update"
        if is_update and text(update, "toolCallId") in self._earlier:
            return []
        id, call = self._merged(update)
        if call is None or (status := text(call.known, "status")) in ("", "pending"):
            return []
        outputs = self._told(id, call)
        if status in _ENDS and not call.done:
            call.done = True
            outputs.append(ToolResult(id, _result(call.known), status == "failed"))
        return outputs

    def asked(self, update: dict[str, Any]) -> list[Plain]:
        """Return the call for which a permission is requested: its arguments are complete."""
        id, call = self._merged(update)
        return [] if call is None else self._told(id, call)

    def untold(self) -> list[Plain]:
        """Return the calls that were announced but not output yet."""
        return [output for id, call in self._calls.items() for output in self._told(id, call)]

    def over(self) -> list[Plain]:
        """End the turn, and return the calls that were not output yet. What comes now about its calls belongs
        to no later turn."""
        untold = self.untold()
        self._earlier |= dict.fromkeys(self._calls)
        for id in list(self._earlier)[:-MAX_CALLS]:
            del self._earlier[id]
        self._calls.clear()
        return untold

    def _merged(self, update: dict[str, Any]) -> tuple[str, _Call | None]:
        id = text(update, "toolCallId")
        if not id:
            return "", None
        self._earlier.pop(id, None)  # a new call, even if the agent has used its id before
        if id not in self._calls:
            if len(self._calls) >= MAX_CALLS:
                del self._calls[next(iter(self._calls))]
            self._calls[id] = _Call(_name(update))
        call = self._calls[id]
        call.known |= {key: value for key, value in update.items() if value is not None}
        return id, call

    def _told(self, id: str, call: _Call) -> list[Plain]:
        if call.told:
            return []
        call.told = True
        return [ToolUse(id, call.name, _arguments(call.known), "agent")]


def _name(announced: dict[str, Any]) -> str:
    """Return the tool's name. If an agent announces a call with its arguments, the title is the tool's name,
    unless it is several words or one of the arguments; otherwise the title describes the call."""
    title, kind = text(announced, "title"), text(announced, "kind")
    given = announced.get("rawInput")
    describes = given is None or " " in title or title in table(announced, "rawInput").values()
    return (kind or title if describes else title or kind) or "tool"


def _arguments(known: dict[str, Any]) -> Any:
    """Return the tool's arguments if the agent sends them, or else the agent's description of the call."""
    if known.get("rawInput") is not None:
        return known["rawInput"]
    return {key: known[key] for key in _DESCRIBING if known.get(key)}


def _result(known: dict[str, Any]) -> Any:
    """Return the result as text if all of it is text, or else as the agent sent it."""
    content = rows(known, "content")
    texts = [text(table(one, "content"), "text") for one in content]
    if all(texts) and (texts or known.get("rawOutput") is None):
        return "".join(texts)
    return content or known["rawOutput"]


def usages(result: dict[str, Any], model: str | None, cost: str | None) -> list[Usage]:
    """Return the usage in the answer to a prompt, which has the protocol's format or gemini's."""
    stats = table(result, "usage")
    taken, given = count(stats, "inputTokens"), count(stats, "outputTokens")
    cached, thought = count(stats, "cachedReadTokens"), count(stats, "thoughtTokens")
    written = count(stats, "cachedWriteTokens")
    if taken + given + cached + written + thought == count(stats, "totalTokens"):
        # the counts are disjoint
        taken, given = taken + cached + written, given + thought
    found = [Usage(model, taken, given, cached or None, cost)] if taken or given else []
    return found or list(_quota(result))


def _quota(result: dict[str, Any]) -> Iterator[Usage]:
    for row in rows(table(table(result, "_meta"), "quota"), "model_usage"):
        tokens = table(row, "token_count")
        spent = count(tokens, "input_tokens"), count(tokens, "output_tokens")
        yield Usage(text(row, "model") or None, *spent)


def total_cost(update: dict[str, Any]) -> str | None:
    """Return the session's cost so far in USD, from a `usage_update`. None: it is unknown, or 0."""
    cost = table(update, "cost")
    amount = cost.get("amount")
    if text(cost, "currency") != "USD" or isinstance(amount, bool) or not isinstance(amount, int | float):
        return None
    return f"{Decimal(str(amount)):f}" if amount > 0 else None


def cost_between(before: str | None, after: str | None) -> str | None:
    """Return the cost in USD between one total and a later one, or None if it is unknown or 0."""
    if after is None:
        return None
    spent = Decimal(after) - Decimal(before or 0)
    return f"{spent:f}" if spent > 0 else None


def model_of(result: dict[str, Any]) -> str | None:
    """Return the model of a session, from the answer that opened it or from an update of its options."""
    option = model_option(result)
    return text(option, "currentValue") or text(table(result, "models"), "currentModelId") or None


def model_option(result: dict[str, Any]) -> dict[str, Any]:
    """Return the option that selects the model; empty if there is none."""
    found = (option for option in rows(result, "configOptions") if option.get("category") == "model")
    return next(found, {})
