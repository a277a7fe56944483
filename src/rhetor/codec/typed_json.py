"""JSON from clients, decoded by type: members that the type does not name never become objects.

A body of 8 MiB is decoded in one go, while everybody else waits. Skipping it takes a few milliseconds; making
objects of it takes a second.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw

from rhetor.errors import Malformed, Unprocessable

T = TypeVar("T")

# No control characters: names are shown, and written to logs. In Python `$` also matches before a final line
# feed; in the JSON Schema that follows from it, the lookahead changes nothing.
PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)"
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")

Object = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]  # any JSON object, read by `kept`
KEPT_BYTES: Final = 64 << 10
KEPT_DEPTH: Final = 32
MOST_CONTAINERS: Final = 100_000  # each takes 0.1 to 0.2 µs, while everybody else waits


def decode(data: bytes, kind: type[T]) -> T:
    """If a member occurs twice, the last one counts.

    Raises:
        Malformed: `data` is not JSON, not UTF-8, or nested too deeply.
        msgspec.ValidationError: it is JSON, but not a `kind`.
    """
    try:
        data.decode()  # msgspec does not check text that it skips
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        if kind is not Raw:
            decode(data, Raw)  # the decoder stops at the first value that does not fit
        raise
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error


def fault(root: str, error: msgspec.ValidationError) -> dict[str, str]:
    """`{where, why}` of a value that does not fit. `where`: its path, such as `body.steps.0.id`."""
    why, _, path = str(error).partition(" - at `")
    place = path.removeprefix("key` in `").rstrip("`").removeprefix("$").replace("[...]", "")
    where = root + place.replace("[", ".").replace("]", "")
    if missing := _MISSING.fullmatch(why):
        where = f"{where}.{missing[1]}"
    if PLAIN in why:
        why = "control characters are not allowed"
    return {"where": where, "why": why}


def unprocessable(where: str, why: str) -> Unprocessable:
    return Unprocessable(f"{where}: {why}", faults=[{"where": where, "why": why}])


def least_size(raw: Raw) -> int:
    """How many bytes the value takes at least as compact JSON, however its text is escaped and indented."""
    data = bytes(raw)
    return len(data) - 4 * data.count(b"\\u") - sum(map(data.count, (b" ", b"\n", b"\t")))


def value(raw: Raw, where: str) -> Any:
    """Any JSON value; the caller has checked its size.

    Raises:
        Unprocessable: it has more than 100,000 objects and lists, or a number that is out of range.
    """
    data = bytes(raw)
    if not data.startswith(b'"') and data.count(b"{") + data.count(b"[") > MOST_CONTAINERS:
        raise unprocessable(where, f"it has more than {MOST_CONTAINERS} objects and lists")
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError as error:
        raise unprocessable(**fault(where, error)) from error


def kept(raw: Raw, where: str) -> dict[str, Any]:
    """An object that is stored as it is.

    Raises:
        Unprocessable: it is no object, larger than 64 KiB of JSON, or nested more than 32 levels deep.
    """
    if least_size(raw) > KEPT_BYTES or len(msgspec.json.encode(found := value(raw, where))) > KEPT_BYTES:
        raise unprocessable(where, f"it is larger than {KEPT_BYTES} bytes of JSON")
    if not isinstance(found, dict):
        raise unprocessable(where, "it is not an object")
    if _is_deeper(found, KEPT_DEPTH):
        raise unprocessable(where, f"it is nested more than {KEPT_DEPTH} levels deep")
    return found


def text_of(raw: Raw, where: str) -> str | None:
    """Any JSON value as text for a model; None for null.

    Raises:
        Unprocessable: it is larger than 64 KiB.
    """
    if least_size(raw) <= KEPT_BYTES:
        found = value(raw, where)
        text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
        if len(text.encode()) <= KEPT_BYTES:
            return None if found is None else text
    raise unprocessable(where, f"it is larger than {KEPT_BYTES} bytes")


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(value: Any) -> list[Any]:
    """The objects and lists directly in a value."""
    items = value.values() if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, dict | list)]
