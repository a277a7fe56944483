"""The pieces of tool calls in a stream: which call each piece belongs to.

Servers repeat a call's id or name in every piece, use one index for several calls, or leave the index out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from rhetor.codec.lenient_json import Mender
from rhetor.drivers.models.lenient import as_count, as_json, as_word, items, members


class Called(msgspec.Struct):
    """A call so far. `index` is its own; `given` and `id` are the server's, None and "" if it gave none."""

    index: int
    given: int | None
    id: str
    name: str = ""
    arguments: str = ""
    mender: Mender = msgspec.field(default_factory=Mender)


class ToolCallPieces:
    """Gives each call an index of its own, and leaves out ids and names that are repeated."""

    def __init__(self) -> None:
        self.calls: list[Called] = []

    def take(self, value: Any) -> list[dict[str, Any]]:
        """Return the `tool_calls` of one delta in the form that the API describes."""
        return [self._piece(piece) for piece in items(value)]

    def _piece(self, piece: dict[str, Any]) -> dict[str, Any]:
        function = members(piece.get("function")) or piece
        id, name = as_word(piece.get("id")) or "", as_word(function.get("name")) or ""
        arguments = as_json(function.get("arguments"))
        given = as_count(piece.get("index"))
        call = self._call(given, id, name, arguments)
        if call is None:
            call = Called(len(self.calls), given, id)
            self.calls.append(call)
            opening = {"id": id or f"call_{call.index}", "type": "function"}
        else:
            opening = {}
        said = {} if name in ("", call.name) else {"name": name}
        arguments = call.mender.feed(arguments)
        call.name += said.get("name", "")
        call.arguments += arguments
        function = {"arguments": arguments, **said}
        return {"index": call.index, "id": None, **opening, "function": function}

    def _call(self, given: int | None, id: str, name: str, arguments: str) -> Called | None:
        """Return the call that a piece continues; None if it begins a new one."""
        of_index = [call for call in self.calls if given is None or call.given == given]
        if id:
            of_id = [call for call in of_index if call.id == id]
            if of_id:
                return of_id[-1]
            # the id of a call may follow its first piece
            return of_index[-1] if of_index and not (of_index[-1].id or name) else None
        if not of_index:
            return None
        last = of_index[-1]
        begins = bool(name and arguments.strip() and last.name) and _is_whole(last.arguments)
        return None if begins or (name and last.name and name != last.name) else last


def calls_of(value: Any, legacy: Any) -> Iterator[dict[str, Any]]:
    """Yield the calls in a delta or a message: those of `tool_calls`, and the older `function_call`."""
    yield from items(value)
    if isinstance(legacy, dict):
        yield {"index": 0, "function": legacy}


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, UnicodeError):
        return False
