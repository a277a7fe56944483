"""Encodes our messages of JSON-RPC 2.0 as lines, and remembers the purpose of each request. It knows no
method."""

from __future__ import annotations

from typing import Any

import msgspec

METHOD_NOT_FOUND = -32601
MAX_OPEN = 1000  # unanswered requests that are remembered; the oldest is forgotten first


class Outgoing:
    """Our side of a connection.

    `first`: the number of the first request, so that the numbers of an earlier hub on the same connection are
    not used again. `tagged`: whether messages have `"jsonrpc": "2.0"`, as the standard requires; Codex omits
    it.
    """

    def __init__(self, *, first: int = 1, tagged: bool = True) -> None:
        self._next = first
        self._tag = {"jsonrpc": "2.0"} if tagged else {}
        self._purposes: dict[int, str] = {}

    def request(self, method: str, params: dict[str, Any], purpose: str) -> bytes:
        id, self._next = self._next, self._next + 1
        self._purposes[id] = purpose
        if len(self._purposes) > MAX_OPEN:
            del self._purposes[next(iter(self._purposes))]
        return self._line({"id": id, "method": method, "params": params})

    def notification(self, method: str, params: dict[str, Any] | None = None) -> bytes:
        return self._line({"method": method} | ({} if params is None else {"params": params}))

    def reply(self, id: Any, result: Any) -> bytes:
        return self._line({"id": id, "result": result})

    def refusal(self, id: Any, message: str, code: int = METHOD_NOT_FOUND) -> bytes:
        return self._line({"id": id, "error": {"code": code, "message": message}})

    def settled(self, id: Any) -> str | None:
        """Forget the request with this number, and return its purpose; None if no such request is open."""
        return self._purposes.pop(id, None) if type(id) is int else None

    def awaits(self, purpose: str) -> bool:
        return purpose in self._purposes.values()

    def _line(self, message: dict[str, Any]) -> bytes:
        return msgspec.json.encode(self._tag | message)
