"""The blocks of Claude Code's current message: their pieces come first, and then their complete lines."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, NamedTuple

import msgspec

from rhetor.drivers.agents.records import StreamedText, table, text

_MAX_BLOCKS = 256  # blocks of one message whose complete lines have not arrived yet

Spoken = Literal["answer", "reasoning"]
CHANNELS: dict[str, Spoken] = {"text": "answer", "thinking": "reasoning"}


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None


class _Head(msgspec.Struct):
    """The fields that are decoded first. Most lines are deltas, which need no others."""

    type: str = ""
    event: _Event | None = None
    parent_tool_use_id: str | None = None


_HEADS = msgspec.json.Decoder(_Head)


class Piece(NamedTuple):
    """The text of one delta. It is empty if the delta has none, or if it is a sub-agent's."""

    channel: Spoken
    text: str


class StreamedBlocks:
    """Knows which part of each block was output before its complete line arrives."""

    def __init__(self) -> None:
        self._blocks: dict[Spoken, deque[StreamedText]] = {"answer": deque(), "reasoning": deque()}

    def delta(self, line: bytes) -> Piece | None:
        """Return the piece of text in a line, if the line is a delta."""
        try:
            head = _HEADS.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        event = head.event
        if head.type != "stream_event" or event is None or event.type != "content_block_delta":
            return None
        match event.delta:
            case _Delta("text_delta", text=said):
                return self._said(head, "answer", said)
            case _Delta("thinking_delta", thinking=said):
                return self._said(head, "reasoning", said)
            case _Delta("input_json_delta" | "signature_delta"):
                return Piece("answer", "")
        return None

    def _said(self, head: _Head, channel: Spoken, piece: str) -> Piece:
        if head.parent_tool_use_id is not None or not piece:
            return Piece(channel, "")
        blocks = self._blocks[channel]
        if not blocks:
            blocks.append(StreamedText())
        blocks[-1].add(piece)
        return Piece(channel, piece)

    def event(self, found: dict[str, Any]) -> bool:
        """Note that a message or a block begins. Return whether it is a message of the agent itself."""
        if found.get("parent_tool_use_id") is not None:
            return False
        event = table(found, "event")
        if event.get("type") == "content_block_start":
            self._begin(text(table(event, "content_block"), "type"))
        if event.get("type") != "message_start":
            return False
        self.clear()
        return True

    def rest(self, channel: Spoken, whole: str) -> str:
        """Return the part of a complete block that its deltas did not contain."""
        blocks = self._blocks[channel]
        return blocks.popleft().rest(whole) if blocks else whole

    def clear(self) -> None:
        for blocks in self._blocks.values():
            blocks.clear()

    def _begin(self, kind: str) -> None:
        if (channel := CHANNELS.get(kind)) is not None and len(self._blocks[channel]) < _MAX_BLOCKS:
            self._blocks[channel].append(StreamedText())
