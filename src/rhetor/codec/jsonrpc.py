"""JSON-RPC 2.0 on the server's side (jsonrpc.org/specification): texts ↔ calls, replies and notifications.

It knows no method and no transport.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from rhetor.codec import typed_json
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
# of names and ids, the only patterns of params; no reader is helped by how it is written
_PATTERN: Final = re.compile(r"matching regex .*?(?= - at |$)", re.DOTALL)
# as the hub calls them elsewhere
NAMES: Final = {
    PARSE_ERROR: Malformed.code,
    INVALID_REQUEST: Malformed.code,
    METHOD_NOT_FOUND: NotFound.code,
    INVALID_PARAMS: Unprocessable.code,
    INTERNAL_ERROR: RhetorError.code,
}
MAX_BATCH: Final = 100

Id = str | int | float | None
Params = Raw | None  # an object or an array, decoded by who knows the method
T = TypeVar("T")
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `is_notice`: it has no id, and so gets no reply."""

    method: str
    params: Params = None
    id: Id = None
    is_notice: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """The error for a text, or a member of a batch, that is not a request. `why`: for a person."""

    code: int
    why: str
    id: Id = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """The requests in one text. The replies to a batch are sent together, in any order."""

    items: tuple[Call | Fault, ...]
    is_batch: bool = False

    @property
    def has_fault(self) -> bool:
        return any(isinstance(item, Fault) for item in self.items)


class Refused(Exception):
    """A valid request that no method accepts: METHOD_NOT_FOUND or INVALID_PARAMS, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def decode(text: str, max_batch: int = MAX_BATCH) -> Incoming:
    """The requests in a text. Never raises: in the place of an invalid one there is a `Fault`, which is to be
    sent back. If a member occurs twice, the last one counts."""
    try:
        if not text.lstrip(" \t\r\n").startswith("["):
            return Incoming((_item(text),))
        requests = typed_json.items(text, max_batch)
    except RecursionError:
        return Incoming((Fault(PARSE_ERROR, "it is nested too deeply"),))
    except msgspec.ValidationError:
        return Incoming((Fault(INVALID_REQUEST, f"a batch has 1 to {max_batch} requests"),))
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Incoming((Fault(PARSE_ERROR, str(error)[:200]),))
    if not requests:
        return Incoming((Fault(INVALID_REQUEST, f"a batch has 1 to {max_batch} requests"),))
    return Incoming(tuple(map(_item, requests)), is_batch=True)


def params_of(call: Call, kind: type[T]) -> T:
    """The params of a call, by name, as a `msgspec.Struct`.

    Raises:
        Refused: they do not match the type.
    """
    try:
        return msgspec.json.decode(b"{}" if call.params is None else call.params, type=kind)
    except msgspec.ValidationError as error:
        why = _PATTERN.sub("without control characters", str(error))
        raise Refused(INVALID_PARAMS, why[:200]) from error


def result(id: Id, value: Any) -> bytes:
    """The reply to a call that succeeded."""
    return _encode({"jsonrpc": "2.0", "id": id, "result": value})


def error(id: Id, code: int, message: str = "", data: Any = None) -> bytes:
    """The reply to a call that failed. The standard's codes have the standard's messages."""
    body: dict[str, Any] = {"code": code, "message": MESSAGES.get(code, message)}
    if data is not None:
        body["data"] = data
    return _encode({"jsonrpc": "2.0", "id": id, "error": body})


def refusal(fault: Fault) -> bytes:
    return error(fault.id, fault.code, data=said(fault.code, fault.why))


def said(code: int, why: str) -> dict[str, Any]:
    """The data of one of the standard's errors, in the form of every other error."""
    return {"code": NAMES[code], "detail": why, "retryable": False}


def notice(method: str, params: dict[str, Any]) -> bytes:
    """A notification."""
    return _encode({"jsonrpc": "2.0", "method": method, "params": params})


def batch(replies: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(replies)


class _Request(msgspec.Struct):
    """Members that the standard does not know are skipped, and the others are looked at one by one."""

    jsonrpc: Raw | UnsetType = UNSET
    method: Raw | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET


def _item(value: Raw | str) -> Call | Fault:
    """One request object (section 4).

    Raises:
        msgspec.DecodeError, RecursionError: it is not JSON.
    """
    try:
        request = msgspec.json.decode(value, type=_Request)
    except msgspec.ValidationError:
        msgspec.json.decode(value, type=Raw)
        return Fault(INVALID_REQUEST, "a request is an object")
    try:
        id = None if request.id is UNSET else msgspec.json.decode(request.id, type=Id)
    except msgspec.ValidationError:
        return Fault(INVALID_REQUEST, "an id is a string or a number")
    if request.jsonrpc is UNSET or bytes(request.jsonrpc) != b'"2.0"':
        return Fault(INVALID_REQUEST, 'jsonrpc is "2.0"', id)
    if request.method is UNSET or not typed_json.starts_with(request.method, b'"'):
        return Fault(INVALID_REQUEST, "a method is named by a string", id)
    if request.params is not UNSET and not typed_json.starts_with(request.params, b"{["):
        return Fault(INVALID_REQUEST, "params are an object or an array", id)
    params = None if request.params is UNSET else request.params
    return Call(msgspec.json.decode(request.method, type=str), params, id, request.id is UNSET)
