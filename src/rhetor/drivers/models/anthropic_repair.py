"""Repairs the events of an Anthropic stream, so that they have the types that the API describes.

Relays send the first text in `content_block_start`, tool inputs as objects, one index for several blocks,
numbers as text, null for what is missing, and whole messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rhetor.drivers.models.lenient import as_count, as_index, as_json, as_text, as_word, items, members

THINKING_TOKENS = "thinking_tokens"  # of the output
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")

Event = dict[str, Any]


class Repair:
    """Repairs the events of one stream, in order."""

    def __init__(self) -> None:
        self._blocks = 0
        self._places: dict[int | None, int] = {}  # the server's index of a block → ours
        self._open: set[int] = set()
        self._has_input: set[int] = set()

    def events(self, name: str, value: Event) -> Iterator[Event]:
        """Yield the events that this one stands for. An unknown one is passed on unchanged."""
        kind = as_word(value.get("type")) or name
        match kind:
            case "message_start":
                yield from self._message_start(members(value.get("message")))
            case "content_block_start":
                yield from self._block_start(value.get("index"), value.get("content_block"))
            case "content_block_delta":
                yield from self._delta(value.get("index"), value.get("delta"))
            case "content_block_stop":
                yield from self._block_stop(value.get("index"))
            case "message_delta":
                yield self._message_delta(members(value.get("delta")), value)
            case "message_stop":
                yield {"type": kind}
            case _ if "content" in value and (kind == "message" or "stop_reason" in value):
                yield from self._whole(value)
            case _ if value.get("completion"):
                yield from self._whole({**value, "content": value["completion"]})
            case _:
                yield {**value, "type": kind}

    def _message_start(self, message: Any) -> Iterator[Event]:
        start = {**message, "content": [], "usage": _usage(message.get("usage"))}
        yield {"type": "message_start", "message": {"role": "assistant", "type": "message", **start}}
        yield from self._content(message.get("content"))

    def _whole(self, message: Event) -> Iterator[Event]:
        yield from self._message_start(message)
        yield self._message_delta(message, {})
        yield {"type": "message_stop"}

    def _content(self, content: Any) -> Iterator[Event]:
        blocks = (
            [{"type": "text", "text": content}] if isinstance(content, str) and content else items(content)
        )
        for block in blocks:
            yield from self._block_start(None, block)
            yield from self._block_stop(None)

    def _block_start(self, given: Any, content: Any) -> Iterator[Event]:
        block = dict(members(content)) or {"type": "text"}
        index = self._blocks
        self._blocks += 1
        yield from self._block_stop(given)
        self._places[as_index(given)] = self._places[None] = index
        self._open.add(index)
        delta = self._emptied(index, block)
        yield {"type": "content_block_start", "index": index, "content_block": block}
        if delta:
            yield {"type": "content_block_delta", "index": index, "delta": delta}

    def _emptied(self, index: int, block: Event) -> Event | None:
        """Take the content out of a block that begins, and return it as a delta."""
        match block.setdefault("type", "text"):
            case "text":
                text, block["text"] = as_text(block.get("text")), ""
                return {"type": "text_delta", "text": text} if text else None
            case "thinking":
                text, block["thinking"] = as_text(block.get("thinking")), ""
                block["signature"] = as_text(block.get("signature"))
                return {"type": "thinking_delta", "thinking": text} if text else None
            case "tool_use":
                given, block["input"] = block.get("input"), {}
                block["id"] = as_word(block.get("id")) or f"toolu_{index}"
                if given:
                    self._has_input.add(index)
                    return {"type": "input_json_delta", "partial_json": as_json(given)}
        return None

    def _delta(self, given: Any, value: Any) -> Iterator[Event]:
        delta = dict(members(value)) or {"text": as_text(value)}
        index = self._places.get(as_index(given), self._places.get(None))
        if index is None:
            yield from self._block_start(given, {"type": "thinking" if "thinking" in delta else "text"})
            index = self._places[None]
        match delta.get("type"):
            case "input_json_delta":
                if index in self._has_input:
                    return  # the block began with its whole input
                delta["partial_json"] = as_json(delta.get("partial_json"))
            case "text_delta" | "thinking_delta" | None:
                delta = _text_delta(delta)
        yield {"type": "content_block_delta", "index": index, "delta": delta}

    def _block_stop(self, given: Any) -> Iterator[Event]:
        index = self._places.get(as_index(given))
        if index in self._open:
            self._open.discard(index)
            yield {"type": "content_block_stop", "index": index}

    def _message_delta(self, delta: Any, value: Event) -> Event:
        stop = as_word(delta.get("stop_reason")) or as_word(value.get("stop_reason"))
        usage = _usage(value.get("usage") or delta.get("usage"))
        end = {"stop_reason": stop, "stop_sequence": _as_text(delta.get("stop_sequence"))}
        return {"type": "message_delta", "delta": end, "usage": usage}


def _text_delta(delta: Event) -> Event:
    thinking = as_text(delta.get("thinking"))
    if thinking and not delta.get("text"):
        return {"type": "thinking_delta", "thinking": thinking}
    return {"type": "text_delta", "text": as_text(delta.get("text"))}


def _as_text(value: Any) -> str | None:
    """Return text unchanged, but as valid Unicode; None for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _usage(value: Any) -> dict[str, int]:
    given = members(value)
    found = {name: given.get(name) for name in _COUNTS}
    found[THINKING_TOKENS] = members(given.get("output_tokens_details")).get(THINKING_TOKENS)
    return {name: n for name, count in found.items() if (n := as_count(count)) is not None}
