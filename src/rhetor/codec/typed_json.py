"""Decodes JSON from clients by type. Members that the type does not name are skipped.

A body of up to 8 MiB is decoded in one step, which blocks the event loop. Skipping that much JSON takes a few
milliseconds, if it has not too many values (see `incoming_json`); building objects from it takes a second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, inspect

from rhetor.errors import Malformed, TooLarge, Unprocessable

from .forms import in_words
from .incoming_json import IncomingJson

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

_MISSING: Final = re.compile(r"Object missing required field `(.*)`")

Object = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]  # any JSON object, read by `kept`
Texts = Annotated[Raw, Meta(extra_json_schema={"type": "object", "additionalProperties": {"type": "string"}})]
LARGE_BYTES: Final = 256 << 10  # any smaller body is decoded in a few milliseconds
KEPT_BYTES: Final = 64 << 10
KEPT_DEPTH: Final = 32
RESULT_BYTES: Final = 1 << 20
_MOST_ESCAPED: Final = 6  # bytes of an escape such as \u0041 for one byte of text
MOST_CONTAINERS: Final = 100_000  # each blocks the event loop for 0.1 to 0.2 µs
TOTAL_BYTES: Final = 512 << 10
TOTAL_CONTAINERS: Final = 50_000


def no_object() -> Raw:
    return Raw(b"{}")


def no_list() -> Raw:
    return Raw(b"[]")


def nothing() -> Raw:
    return Raw(b"null")


def check(data: bytes | bytearray | Raw, kind: type[Struct]) -> None:
    """Check a large body before it is decoded: no list may be longer than its type allows. The decoder itself
    checks the length of a list only after it has built the whole list.

    Raises:
        Malformed, msgspec.ValidationError: as `decode`.
    """
    if (outline := _outline(kind)) is not None:
        decode(data, outline)


def check_utf8(data: bytes | bytearray) -> None:
    """Check the text of a body, because `decode` does not check the text of values that it skips.

    Raises:
        Malformed: `data` is not UTF-8.
    """
    try:
        if not data.isascii():
            data.decode()
    except UnicodeError as error:
        raise Malformed(f"the body is not JSON: {error}") from error


def decode(data: bytes | bytearray | Raw, kind: type[T]) -> T:
    """Decode JSON as a `kind`. If a member occurs twice, the last one counts.

    Raises:
        Malformed: `data` is not JSON, not UTF-8, or nested too deeply.
        msgspec.ValidationError: a value does not match its type. What follows that value is not read.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error


def items(data: Raw | str, most: int) -> list[Raw]:
    """Return the values of an array.

    Raises:
        msgspec.ValidationError: `data` is not an array, or has more than `most` values.
    """
    found = msgspec.structs.astuple(msgspec.json.decode(data, type=_array(Raw, most)))
    return [each for each in found if each is not UNSET]


@cache
def _array(item: Any, most: int) -> type[Struct]:
    """Return the type of an array of at most `most` items. Unlike a list type, it rejects a longer array at
    the first item over the limit."""
    members = [(f"_{n}", item | UnsetType, UNSET) for n in range(most)]
    return msgspec.defstruct("Array", members, array_like=True, forbid_unknown_fields=True)


@cache
def _outline(kind: type[Struct]) -> type[Struct] | None:
    """Return a type with only those members of `kind` that contain lists; None if there are none."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    found = [(member, _bounded(member.type)) for member in described.fields]
    members = [(member.name, of | None | UnsetType, UNSET) for member, of in found if of is not None]
    names = {member.name: member.encode_name for member, _ in found}
    return msgspec.defstruct("Outline", members, rename=names) if members else None


@cache
def with_raw_items(kind: type[S], lists: tuple[str, ...]) -> type[S]:
    """Return a type like the Struct type `kind`, whose members `lists` have items that are not decoded yet.
    To decode a large body in one step takes long; to skip the items does not."""
    members = [
        (each.name, list[Raw] | None if each.name in lists else each.type, _default(each))
        for each in msgspec.structs.fields(kind)
    ]
    found: Any = msgspec.defstruct(kind.__name__, members, kw_only=True, forbid_unknown_fields=True)
    return cast("type[S]", found)


def check_containers(raw: Raw) -> None:
    """Check that a value can be decoded in one step.

    Raises:
        TooManyValues: it has too many members, items, objects and lists.
    """
    if _containers(raw) > MOST_CONTAINERS:  # including those within texts
        incoming = IncomingJson(MOST_CONTAINERS)
        incoming.feed(bytes(raw))
        incoming.end()


def _default(member: Any) -> Any:
    if member.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=member.default_factory)
    return member.default


def _bounded(described: inspect.Type) -> type[Struct] | None:
    match described:
        case inspect.Metadata(inner):  # of a type with an `extra_json_schema`
            return _bounded(inner)
        case inspect.UnionType(types):
            return next((of for each in types if (of := _bounded(each)) is not None), None)
        case inspect.ListType(item, _, int(most)):
            return _array(_bounded(item) or Raw, most)
        case inspect.StructType(cls):
            return _outline(cls)
    return None


def fault(root: str, error: msgspec.ValidationError) -> dict[str, str]:
    """Return `{where, why}` for an invalid value. `where` is its path, such as `body.steps.0.id`."""
    why, _, path = in_words(str(error)).partition(" - at `")
    place = path.removeprefix("key` in `").rstrip("`").removeprefix("$").replace("[...]", "")
    where = root + place.replace("[", ".").replace("]", "")
    if missing := _MISSING.fullmatch(why):
        where = f"{where}.{missing[1]}"
    return {"where": where, "why": why}


def unprocessable(where: str, why: str) -> Unprocessable:
    return Unprocessable(f"{where}: {why}", faults=[{"where": where, "why": why}])


def exceeds(raw: Raw, limit: int) -> bool:
    """Return whether the value is certainly larger than `limit` bytes, however its text is escaped and
    indented. If not, it may still be larger."""
    return len(memoryview(raw)) > _MOST_ESCAPED * limit or _least_size(raw) > limit


def _least_size(raw: Raw) -> int:
    data = bytes(raw)
    return len(data) - 4 * data.count(b"\\u") - sum(map(data.count, (b" ", b"\n", b"\t")))


def starts_with(raw: Raw, first: bytes) -> bool:
    """Return whether the value begins with one of these characters."""
    return bytes(memoryview(raw)[:1]) in first


def value(raw: Raw, where: str) -> Any:
    """Decode any JSON value. The caller has checked its size.

    Raises:
        Unprocessable: the value has more than 100,000 objects and lists, or a number that is out of range.
    """
    if not starts_with(raw, b'"') and _containers(raw) > MOST_CONTAINERS:
        raise unprocessable(where, f"more than {MOST_CONTAINERS} objects and lists")
    return decoded(raw, object, where)


def decoded(raw: Raw, kind: type[T], where: str) -> T:
    """Decode a value as a `kind`. The caller has checked its size.

    Raises:
        Unprocessable: the value is not a `kind`.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise unprocessable(**fault(where, error)) from error


def texts(raw: Raw, where: str, most: int) -> dict[str, str]:
    """Decode an object of at most `most` texts.

    Raises:
        Unprocessable: the value is not an object, has too many members, or has a member that is not a text.
    """
    # each member has four quotation marks, and its text may contain more
    found = None if bytes(raw).count(b'"') > 10 * most + 1000 else decoded(raw, dict[str, str], where)
    if found is None or len(found) > most:
        raise unprocessable(where, f"more than {most} members")
    return found


def tool_result(raw: Raw, where: str) -> Any:
    """Decode the result of a tool, which may be any JSON value.

    Raises:
        TooLarge: the result is larger than 1 MiB.
        Unprocessable: the result has more than 100,000 objects and lists, or a number that is out of range.
    """
    if exceeds(raw, RESULT_BYTES):
        raise TooLarge("the result", RESULT_BYTES)
    return value(raw, where)


def kept(raw: Raw, where: str) -> dict[str, Any]:
    """Decode an object that is stored as it is.

    Raises:
        Unprocessable: the value is not an object, is larger than 64 KiB of JSON, is nested more than 32
            levels deep, or has a number that is out of range.
    """
    if exceeds(raw, KEPT_BYTES) or len(msgspec.json.encode(found := value(raw, where))) > KEPT_BYTES:
        raise unprocessable(where, f"larger than {KEPT_BYTES} bytes of JSON")
    if not isinstance(found, dict):
        raise unprocessable(where, "not an object")
    if _is_deeper(found, KEPT_DEPTH):
        raise unprocessable(where, f"nested more than {KEPT_DEPTH} levels deep")
    return found


def check_total(raws: Sequence[Raw], where: str) -> None:
    """Check the total size of the objects in one request, before they are decoded.

    Raises:
        Unprocessable: together they are larger than 512 KiB, or have more than 50,000 objects and lists.
    """
    if (
        sum(len(memoryview(raw)) for raw in raws) > TOTAL_BYTES
        or sum(map(_containers, raws)) > TOTAL_CONTAINERS
    ):
        raise unprocessable(
            where, f"more than {TOTAL_BYTES} bytes, or {TOTAL_CONTAINERS} objects and lists, in total"
        )


def _containers(raw: Raw) -> int:
    """Return an upper bound of the number of objects and lists. Brackets within texts are counted too."""
    data = bytes(raw)
    return data.count(b"{") + data.count(b"[")


def text_of(raw: Raw, where: str) -> str | None:
    """Return any JSON value as text for a model; None for null.

    Raises:
        Unprocessable: the value is larger than 64 KiB, or has a number that is out of range.
    """
    if not exceeds(raw, KEPT_BYTES):
        found = value(raw, where)
        text = found if isinstance(found, str) else msgspec.json.encode(found).decode()
        if len(text.encode()) <= KEPT_BYTES:
            return None if found is None else text
    raise unprocessable(where, f"larger than {KEPT_BYTES} bytes")


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(value: Any) -> list[Any]:
    """Return the objects and lists directly in a value."""
    items = value.values() if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, dict | list)]
