"""Decodes the items of a Codex turn: tool calls, their results, and the text that the deltas did not contain
(observed: app-server 0.169)."""

from __future__ import annotations

from typing import Any

from rhetor.domain.event import Channel
from rhetor.domain.output import Plain, Text, ToolResult, ToolUse
from rhetor.drivers.agents.records import StreamedText, text

MAX_OPEN = 1000  # open items that are remembered; the call of any other is output with its result

# item type → the tool's name ("": the item has it), the fields of its arguments, the fields of its result
_TOOLS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "commandExecution": ("shell", ("command", "cwd"), ("aggregatedOutput", "exitCode", "status")),
    "fileChange": ("apply_patch", ("changes",), ("status",)),
    "mcpToolCall": ("", ("arguments",), ("result", "error", "status")),
    "dynamicToolCall": ("", ("arguments",), ("contentItems", "success", "status")),
    "collabAgentToolCall": ("", ("prompt", "receiverThreadIds"), ("agentsStates", "status")),
    "webSearch": ("web_search", ("query", "action"), ("results",)),
    "imageView": ("view_image", ("path",), ()),
    "imageGeneration": ("generate_image", ("revisedPrompt",), ("savedPath", "failure", "status")),
}
_FAILED = frozenset(("failed", "declined"))
_TOLD: dict[str, Channel] = {"agentMessage": "answer", "plan": "answer"}


class Items:
    """The open items of a turn. `catching_up`: an earlier hub may have output the beginning of some items."""

    def __init__(self) -> None:
        self.catching_up = False
        self._begun: dict[str, tuple[dict[str, Any], StreamedText]] = {}

    def begin(self, item: dict[str, Any]) -> list[Plain]:
        """Open an item, and return its tool call. If the id is already open, the stream broke off and the
        item begins again."""
        id = text(item, "id")
        is_new = id not in self._begun
        if is_new and len(self._begun) >= MAX_OPEN:
            return []
        self._begun[id] = item, StreamedText()
        call = _call(item)
        return [call] if call is not None and is_new else []

    def add(self, id: str, piece: str) -> None:
        """Note that a piece of an item's text was output."""
        if id in self._begun:
            self._begun[id][1].add(piece)

    def end(self, item: dict[str, Any]) -> list[Plain]:
        begun = self._begun.pop(text(item, "id"), None)
        was_told = begun is not None or self.catching_up
        if (call := _call(item)) is not None:
            return [_result(item)] if was_told else [call, _result(item)]
        channel = _TOLD.get(text(item, "type"))
        if channel is None or (begun is None and was_told):
            return []
        rest = text(item, "text") if begun is None else begun[1].rest(text(item, "text"))
        return [Text(rest, channel)] if rest else []

    def begun(self, id: str) -> dict[str, Any]:
        """Return the item as it began; empty if it is unknown."""
        return self._begun[id][0] if id in self._begun else {}

    def clear(self) -> None:
        self.catching_up = False
        self._begun.clear()


def _call(item: dict[str, Any]) -> ToolUse | None:
    """Return the tool call that an item represents, or None if it is not a tool."""
    if (tool := _TOOLS.get(text(item, "type"))) is None:
        return None
    own, called_with, _ = tool
    place = text(item, "server") or text(item, "namespace")
    name = own or ".".join(filter(None, (place, text(item, "tool"))))
    if called_with == ("arguments",):
        return ToolUse(text(item, "id"), name, item.get("arguments"), "agent")
    return ToolUse(text(item, "id"), name, {key: item.get(key) for key in called_with}, "agent")


def _result(item: dict[str, Any]) -> ToolResult:
    """Return the result of an item for which `_call` returns a call."""
    _, _, kept = _TOOLS[text(item, "type")]
    is_error = text(item, "status") in _FAILED or item.get("success") is False
    return ToolResult(text(item, "id"), {key: item.get(key) for key in kept}, is_error)
