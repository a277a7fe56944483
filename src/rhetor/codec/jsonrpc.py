"""JSON-RPC 2.0 on the server's side (jsonrpc.org/specification): texts ↔ calls, replies and notifications.

This module knows neither the methods nor the transport.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from rhetor.codec import typed_json
from rhetor.codec.forms import in_words
from rhetor.errors import Malformed, NotFound, RhetorError, Unprocessable

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
MESSAGES: Final = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    INTERNAL_ERROR: "Internal error",
}
# the codes of the same errors in the hub's other APIs
NAMES: Final = {
    PARSE_ERROR: Malformed.code,
    INVALID_REQUEST: Malformed.code,
    METHOD_NOT_FOUND: NotFound.code,
    INVALID_PARAMS: Unprocessable.code,
    INTERNAL_ERROR: RhetorError.code,
}
MAX_BATCH: Final = 100

Id = str | int | float | None
Params = Raw | None  # an object or an array; the dialect that knows the method decodes it
T = TypeVar("T", bound=msgspec.Struct)
_encode = msgspec.json.encode


class Call(msgspec.Struct, frozen=True):
    """A request. `is_notice`: it has no id, so it gets no reply."""

    method: str
    params: Params = None
    id: Id = None
    is_notice: bool = False


class Fault(msgspec.Struct, frozen=True):
    """The error for a text, or a member of a batch, that is not a valid request. `why` is for a person."""

    code: int
    why: str
    id: Id = None


class Incoming(msgspec.Struct, frozen=True):
    """The requests in one text. The replies to a batch are sent together, in any order."""

    items: tuple[Call | Fault, ...]
    is_batch: bool = False

    @property
    def has_fault(self) -> bool:
        return any(isinstance(item, Fault) for item in self.items)


class Refused(Exception):
    """A valid request was rejected. `code`: METHOD_NOT_FOUND or INVALID_PARAMS; `why` is for a person."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def decode(text: str, max_batch: int = MAX_BATCH) -> Incoming:
    """Return the requests in a text. It never raises: for an invalid request there is a `Fault`, to be sent
    back. If a member occurs twice, the last one counts."""
    try:
        if not text.lstrip().startswith("["):
            return Incoming((_item(text),))
        requests = typed_json.items(text, max_batch)
    except RecursionError:
        return Incoming((Fault(PARSE_ERROR, "the message is nested too deeply"),))
    except msgspec.ValidationError:
        return Incoming((Fault(INVALID_REQUEST, f"a batch must have 1 to {max_batch} requests"),))
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Incoming((Fault(PARSE_ERROR, str(error)[:200]),))
    if not requests:
        return Incoming((Fault(INVALID_REQUEST, f"a batch must have 1 to {max_batch} requests"),))
    return Incoming(tuple(map(_item, requests)), is_batch=True)


def params_of(call: Call, kind: type[T]) -> T:
    """Return the params of a call, given by name, as a `kind`.

    Raises:
        Refused: the params do not match the type.
    """
    params = Raw(b"{}") if call.params is None else call.params
    try:
        if len(memoryview(params)) > typed_json.LARGE_BYTES:
            typed_json.check(params, kind)
        return msgspec.json.decode(params, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(INVALID_PARAMS, in_words(str(error))[:200]) from error


def result(id: Id, value: Any) -> bytes:
    """Return the reply to a call that succeeded."""
    return _encode({"jsonrpc": "2.0", "id": id, "result": value})


def error(id: Id, code: int, message: str = "", data: Any = None) -> bytes:
    """Return the reply to a call that failed. A code of the standard gets the standard's message."""
    body: dict[str, Any] = {"code": code, "message": MESSAGES.get(code, message)}
    if data is not None:
        body["data"] = data
    return _encode({"jsonrpc": "2.0", "id": id, "error": body})


def refusal(fault: Fault) -> bytes:
    return error(fault.id, fault.code, data=said(fault.code, fault.why))


def said(code: int, why: str) -> dict[str, Any]:
    """Return the data for one of the standard's errors, in the same form as for every other error."""
    return {"code": NAMES[code], "detail": why, "retryable": False}


def notice(method: str, params: dict[str, Any]) -> bytes:
    """Return a notification."""
    return _encode({"jsonrpc": "2.0", "method": method, "params": params})


def batch(replies: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(replies)


class _Request(msgspec.Struct):
    """A request object with unchecked members. Members that are not in the standard are skipped."""

    jsonrpc: Raw | UnsetType = UNSET
    method: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET


def _item(value: Raw | str) -> Call | Fault:
    """Decode one request object (section 4).

    Raises:
        msgspec.DecodeError: the value is not JSON.
        RecursionError: the value is nested too deeply.
    """
    try:
        request = msgspec.json.decode(value, type=_Request)
    except msgspec.ValidationError:
        msgspec.json.decode(value, type=Raw)
        return Fault(INVALID_REQUEST, "a request must be an object")
    try:
        id = None if request.id is UNSET else msgspec.json.decode(request.id, type=Id)
    except msgspec.ValidationError:
        return Fault(INVALID_REQUEST, "id must be a string, a number or null")
    if request.jsonrpc is UNSET or bytes(request.jsonrpc) != b'"2.0"':
        return Fault(INVALID_REQUEST, 'jsonrpc must be "2.0"', id)
    if request.method is UNSET or not typed_json.starts_with(request.method, b'"'):
        return Fault(INVALID_REQUEST, "method must be a string", id)
    if request.params is not UNSET and not typed_json.starts_with(request.params, b"{["):
        return Fault(INVALID_REQUEST, "params must be an object or an array", id)
    params = None if request.params is UNSET else request.params
    return Call(msgspec.json.decode(request.method, type=str), params, id, request.id is UNSET)
