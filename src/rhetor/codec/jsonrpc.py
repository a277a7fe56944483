"""JSON-RPC 2.0 as a server reads and writes it (jsonrpc.org/specification): a text ↔ calls, replies, notices.

It knows no method, and not what carries the texts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

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
Params = dict[str, Any] | list[Any] | None
T = TypeVar("T")
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `is_notice`: one without an id, which gets no reply, whatever comes of it."""

    method: str
    params: Params = None
    id: Id = None
    is_notice: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What is answered where a text, or one member of a batch, is no request. `why`: for a person."""

    code: int
    why: str
    id: Id = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """One text. In a batch the replies go together, in any order."""

    items: tuple[Call | Fault, ...]
    is_batch: bool = False

    @property
    def has_fault(self) -> bool:
        return any(isinstance(item, Fault) for item in self.items)


class Refused(Exception):
    """A call that is a request, and that no method takes: METHOD_NOT_FOUND or INVALID_PARAMS, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class _NotOnce(ValueError):
    """A member is there twice: which would count, each parser decides for itself (RFC 8259, section 4)."""


def decode(text: str, max_batch: int = MAX_BATCH) -> Incoming:
    """What a client said. Never raises: what is wrong is a `Fault` in its place, which is to be sent back."""
    try:
        value = parse(text)
    except RecursionError:
        return Incoming((Fault(PARSE_ERROR, "it is nested too deep"),))
    except _NotOnce as error:
        return Incoming((Fault(INVALID_REQUEST, str(error)),))
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError) as error:
        return Incoming((Fault(PARSE_ERROR, str(error)[:200]),))
    if not isinstance(value, list):
        return Incoming((_item(value),))
    if not value or len(value) > max_batch:
        return Incoming((Fault(INVALID_REQUEST, f"a batch has 1 to {max_batch} requests"),))
    return Incoming(tuple(map(_item, value)), is_batch=True)


def params_of(call: Call, kind: type[T]) -> T:
    """The params of a call, by name, as a `msgspec.Struct`.

    Raises:
        Refused: they are not what it says.
    """
    try:
        return msgspec.convert({} if call.params is None else call.params, kind)
    except msgspec.ValidationError as error:
        why = _PATTERN.sub("without control characters", str(error))
        raise Refused(INVALID_PARAMS, why[:200]) from error


def result(id: Id, value: Any) -> bytes:
    """The reply to a call that did what it was to do."""
    return _encode({"jsonrpc": "2.0", "id": id, "result": value})


def error(id: Id, code: int, message: str = "", data: Any = None) -> bytes:
    """The reply to one that did not. The codes of the standard have the standard's messages."""
    body: dict[str, Any] = {"code": code, "message": MESSAGES.get(code, message)}
    if data is not None:
        body["data"] = data
    return _encode({"jsonrpc": "2.0", "id": id, "error": body})


def refusal(fault: Fault) -> bytes:
    return error(fault.id, fault.code, data=said(fault.code, fault.why))


def said(code: int, why: str) -> dict[str, Any]:
    """What an error of the standard says besides, as every other error does."""
    return {"code": NAMES[code], "detail": why, "retryable": False}


def notice(method: str, params: dict[str, Any]) -> bytes:
    """What is told and not answered."""
    return _encode({"jsonrpc": "2.0", "method": method, "params": params})


def batch(replies: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(replies)


def parse(text: str) -> Any:
    """A text as JSON, as strictly as RFC 8259 has it.

    Raises:
        ValueError, msgspec.MsgspecError: it is none, or names a member twice.
        RecursionError: it is nested too deep.
    """
    value = msgspec.json.decode(text)
    _UNIQUE.decode(text)
    return value


def _once(members: list[tuple[str, Any]]) -> None:
    if len(members) > 1 and len(dict(members)) < len(members):
        twice = Counter(name for name, _ in members).most_common(1)[0][0]
        raise _NotOnce(f"the member {twice[:100]!r} is there twice")


_UNIQUE = json.JSONDecoder(object_pairs_hook=_once)


def _item(value: Any) -> Call | Fault:
    """One request object (section 4). Members that the standard does not know are passed over."""
    if not isinstance(value, dict):
        return Fault(INVALID_REQUEST, "a request is an object")
    id = value.get("id")
    if isinstance(id, bool) or not isinstance(id, str | int | float | None):
        return Fault(INVALID_REQUEST, "an id is a string or a number")
    if value.get("jsonrpc") != "2.0":
        return Fault(INVALID_REQUEST, 'jsonrpc is "2.0"', id)
    method, params = value.get("method"), value.get("params", {})
    if not isinstance(method, str):
        return Fault(INVALID_REQUEST, "a method is named by a string", id)
    if not isinstance(params, dict | list):
        return Fault(INVALID_REQUEST, "params are an object or an array", id)
    return Call(method, value.get("params"), id, "id" not in value)
