"""JSON-RPC 2.0 in lines: requests with numbers, and what each of ours was for. It knows no method.

`tagged`: whether a message says `"jsonrpc": "2.0"`, as the standard asks; Codex leaves it out.
"""

from __future__ import annotations

from typing import Any

import msgspec

METHOD_NOT_FOUND = -32601
MAX_OPEN = 1000  # requests of ours without an answer that are remembered; the oldest go first


class Outgoing:
    """Our half of a connection. `first`: the number of the first request, so that those of an earlier hub on
    the same connection are not used again."""

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
        """What the request with this number was for, once; None where it is none of ours that waits."""
        return self._purposes.pop(id, None) if type(id) is int else None

    def awaits(self, purpose: str) -> bool:
        return purpose in self._purposes.values()

    def _line(self, message: dict[str, Any]) -> bytes:
        return msgspec.json.encode(self._tag | message)
