"""Converts values to the types of the sections, or says which value is invalid and why.

msgspec converts quickly, but does not name the entry of a mapping that it rejects. When a conversion fails,
the value is therefore taken apart until the innermost invalid part is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from rhetor.errors import InvalidSettings

T = TypeVar("T")
Keys = tuple[str | int, ...]
Fault = tuple[Keys, str]
MOST_FAULTS = 100  # that one error names

# the types in msgspec's messages, in the words of a person who writes YAML
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_EXPECTED = re.compile(r"Expected `([^`]*)`(?: ([<>]=?) (\S+))?")
_BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}


class InvalidValue(InvalidSettings):
    """The value under `keys` is invalid; `detail` begins with the key. `data["problems"]` has it, and
    `others`, as `{key, detail}`."""

    def __init__(self, keys: Sequence[str | int], reason: str, others: Sequence[Fault] = ()) -> None:
        self.keys = tuple(keys)
        faults = ((self.keys, reason), *others)
        problems = [{"key": ".".join(map(str, keys)), "detail": why} for keys, why in faults]
        super().__init__(f"{problems[0]['key']}: {reason}", problems=problems)


def convert(value: Any, kind: type[T]) -> T:
    """Convert `value`, decoded from YAML or JSON, to `kind`. A string such as "8300" counts as a number too.

    Raises:
        InvalidValue: parts of `value` are invalid; the error names the first `MOST_FAULTS`.
    """
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        first, *others = [*islice(_faults(value, kind), MOST_FAULTS)] or [((), str(error))]
        raise InvalidValue(*first, others) from error


def type_at(kind: Any, keys: Sequence[str]) -> Any:
    """Return the type of the value under `keys` in a `kind`; None if it has no such key."""
    for key in keys:
        container = _container(kind)
        is_mapping = get_origin(container) is dict
        kind = get_args(container)[1] if is_mapping else fields_of(container).get(key)
    return kind


def fields_of(kind: Any) -> dict[str, Any]:
    """Return the types of a section's values, by key; empty if `kind` is not a section."""
    fields = msgspec.structs.fields(kind) if _is_struct(kind) else ()
    return {field.name: field.type for field in fields}


def _faults(value: Any, kind: Any) -> Iterator[Fault]:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        found = False
        for key, faults in _faults_inside(value, _container(kind)):
            for keys, reason in faults:
                found = True
                yield (key, *keys), reason
        if not found:
            yield (), _reason(str(error), kind)


def _faults_inside(value: Any, container: Any) -> Iterator[tuple[str | int, Iterable[Fault]]]:
    if isinstance(value, dict) and _is_struct(container):
        fields = fields_of(container)
        for key, inner in value.items():
            unknown: Fault = ((), _unknown(key, list(fields)))
            yield key, _faults(inner, fields[key]) if key in fields else [unknown]
    elif isinstance(value, dict) and get_origin(container) is dict:
        of_key, of_value = get_args(container)
        for key, inner in value.items():
            yield key, [*_faults(key, of_key)] or _faults(inner, of_value)
    elif isinstance(value, list | tuple) and get_origin(container) is tuple:
        for index, inner in enumerate(value):
            yield index, _faults(inner, get_args(container)[0])


def _container(kind: Any) -> Any:
    """Return the section, mapping or list type that `kind` is or may be; None if it has only plain values."""
    return next((k for k in _choices(kind) if _is_struct(k) or get_origin(k) in (dict, tuple)), None)


def _choices(kind: Any) -> Sequence[Any]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _unknown(key: object, known: list[str]) -> str:
    if not isinstance(key, str):
        return "keys must be text"
    import difflib

    near = difflib.get_close_matches(key, known, n=1)
    return "there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _reason(message: str, kind: Any) -> str:
    """Say what the value must be. The value itself is left out, because it may be a secret."""
    for choice in _choices(kind):
        if get_origin(choice) is Annotated and (described := choice.__metadata__[0].description):
            return f"must be {described}"
        if get_origin(choice) is Literal:
            *others, last = (*get_args(choice), "a list") if _container(kind) else get_args(choice)
            return f"must be {', '.join(others)} or {last}"
    if not (expected := _EXPECTED.match(message)):
        return message.partition(" - at ")[0].replace("Object missing required field", "missing key")
    types, sign, bound = expected.groups()
    words = " or ".join(_WORDS.get(name, name) for name in types.split(" | "))
    return f"must be {words}" + (f" {_BOUNDS[sign]} {bound.removesuffix('.0')}" if sign else "")
