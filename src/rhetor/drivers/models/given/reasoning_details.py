"""OpenRouter's `reasoning_details`: the reasoning of a model as its own vendor needs it again, in pieces."""

from __future__ import annotations

from typing import Any

from rhetor.codec import lenient_json
from rhetor.drivers.models.given.arguments import is_encodable
from rhetor.drivers.models.lenient import items, members

_NAME = "reasoning_details"
_PIECES = ("text", "summary", "data")  # the members that arrive in pieces


class Details:
    """Puts the pieces of one answer together. `all`: the details so far, as OpenRouter takes them again."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def take(self, data: bytes) -> None:
        """Add what an event has."""
        if _NAME.encode() not in data:
            return
        try:
            value = lenient_json.decode(data)
        except ValueError:
            return  # the event is reported elsewhere
        for choice in items(members(value).get("choices")):
            said = members(choice.get("delta")) or members(choice.get("message"))
            for piece in items(said.get(_NAME)):
                self._add(piece)

    def _add(self, piece: dict[str, Any]) -> None:
        if not is_encodable(piece):
            return
        last = self.all[-1] if self.all else None
        if last is None or any(last.get(name) != piece.get(name) for name in ("type", "index")):
            self.all.append(dict(piece))
            return
        for name, value in piece.items():
            if name in _PIECES and isinstance(value, str) and isinstance(last.get(name), str):
                last[name] += value
            elif value is not None:
                last[name] = value
