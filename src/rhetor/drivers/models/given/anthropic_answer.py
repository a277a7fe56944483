"""An answer of the Messages API that may have calls of the client's tools, and reasoning that the API needs
again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rhetor.codec.lenient_json import Mender
from rhetor.domain.output import Output, Reasoned, ToolUse
from rhetor.drivers.models import anthropic_messages, errors
from rhetor.drivers.models.given.arguments import Allowance, as_object, is_encodable, kept, new_id
from rhetor.drivers.models.given.names import ToolNames
from rhetor.drivers.models.target import Target

PAUSED = "pause_turn"  # tools of the provider take long


class _Block:
    """A block of an answer that is not text. `pieces`: of its input, or of its thinking."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.pieces: list[str] = []
        self._mender = Mender()

    def feed(self, piece: str) -> None:
        self.pieces.append(self._mender.feed(piece))

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Message(anthropic_messages.Message):
    """Decodes the events of one answer. Blocks that the API needs
    again are kept."""

    def __init__(self, target: Target, names: ToolNames) -> None:
        super().__init__(target)
        self._answer.takes_calls = True
        self._names = names
        self._allowance = Allowance()
        self._open: dict[int, _Block] = {}
        self._calls = 0

    def _known(self, event: dict[str, Any], data: bytes) -> Sequence[Output]:
        match event["type"]:
            case "content_block_start":
                if event["content_block"]["type"] != "text":
                    self._open[event["index"]] = _Block(event["content_block"])
                    self._calls += event["content_block"]["type"] == "tool_use"
            case "content_block_delta":
                self._feed(event["index"], event["delta"])
            case "message_delta" if event["delta"]["stop_reason"] == PAUSED:
                found = super()._known(event, data)
                # the client sends the answer back, so that the model continues; it may have no text yet
                self._answer.finish, self._answer.has_calls = PAUSED, True
                return found
            case "content_block_stop":
                block = self._open.pop(event["index"], None)
                return () if block is None else self._whole(block)
        return super()._known(event, data)

    def _feed(self, index: int, delta: dict[str, Any]) -> None:
        block = self._open.get(index)
        if block is None:
            return
        match delta.get("type"):
            case "input_json_delta":
                self._allowance.take(delta["partial_json"], self._calls)
                block.feed(delta["partial_json"])
            case "thinking_delta":
                block.feed(delta["thinking"])
            case "signature_delta":
                block.start["signature"] = block.start.get("signature", "") + str(delta.get("signature", ""))

    def _whole(self, block: _Block) -> Sequence[Output]:
        start = block.start
        if start["type"] == "tool_use":
            if not (name := str(start.get("name") or "")):
                raise errors.cut(self._target, "a tool call has no name")
            return (ToolUse(new_id(), self._names.own(name), kept(block.text), "caller"),)
        if start["type"] == "thinking":
            start["thinking"] = block.text
        elif start["type"] == "server_tool_use" and block.pieces:
            start["input"] = as_object(block.text)
        return (Reasoned("anthropic", start),) if is_encodable(start) else ()

    def _last(self) -> Sequence[Output]:
        """Return what the server did not end."""
        blocks = [self._open.pop(index) for index in sorted(self._open)]
        return [output for block in blocks for output in self._whole(block)]
