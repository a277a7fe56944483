"""The base class of all errors, and the JSON-RPC codes that they use."""

from __future__ import annotations

import re
from typing import Any

INVALID_REQUEST, INVALID_PARAMS, INTERNAL = -32600, -32602, -32603
PROVIDER_FAILED, TIMED_OUT, LIMIT_REACHED, STORE_REFUSES = -32001, -32002, -32003, -32010

INTERNAL_HINT = "this is an error in the hub; hub.log has the details"
_LINE_END = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def one_line(text: str) -> str:
    """Return the text with its lines joined by blanks: texts of providers and programs may have several."""
    return _LINE_END.sub(" ", text.strip())


class RhetorError(Exception):
    """The base class. `retryable`: the same request may succeed later. `retry_after`, in seconds, and `hint`:
    the values in `data` of an error that has no better ones."""

    code: str = "internal"
    status: int = 500
    rpc: int = INTERNAL
    close: int | None = None
    retryable: bool = False
    retry_after: float | None = None
    hint: str = ""

    def __init__(self, detail: str, **data: Any) -> None:
        self.detail = one_line(detail)
        super().__init__(self.detail)
        self.data = data
        if self.hint and not data.get("hint"):
            data["hint"] = self.hint
        if self.retry_after is not None:
            data.setdefault("retry_after", self.retry_after)
