"""JSON Schema for answers: checks a schema of a user, and compares an answer with it.

Patterns are searched with RE2, because those of users may need exponential time otherwise. References may
need it too, so comparing ends after `SECONDS`. Nothing is fetched for a `$ref`: it must lead into the schema
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from itertools import islice
from time import monotonic
from typing import Any

import msgspec

from rhetor.codec.patterns import InvalidPattern, pattern
from rhetor.errors import Unprocessable

MOST_BYTES = 64 << 10
MOST_LEVELS = 32
MOST_PARTS = 3000  # objects and booleans, of which each may be a schema that is checked
SECONDS = 10.0
_MOST_FAULTS = 100  # that are compared for the one to show
_UNSUPPORTED = ("patternProperties", "$dynamicRef", "$recursiveRef")  # the first is searched with `re`
_DIALECT = "$schema"  # chooses another class of validators, which does not know what is set here
_ends: ContextVar[float] = ContextVar("_ends", default=float("inf"))  # of `monotonic`


class NotMatching(ValueError):
    """The answer does not match the schema; the message says where and why."""


class _TooLong(Exception):
    """Comparing took longer than `SECONDS`."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that answers can be compared with a schema. This may take seconds: call it in a thread.

    Raises:
        Unprocessable: it is no JSON Schema, or too large, or uses what is not supported.
    """
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]

    if len(msgspec.json.encode(schema)) > MOST_BYTES:
        raise Unprocessable(f"the schema is larger than {MOST_BYTES} bytes")
    parts = 0
    for key, value in _members(_plain(schema), 0):
        parts += isinstance(value, (dict, bool))
        if parts > MOST_PARTS:
            raise Unprocessable(f"the schema has more than {MOST_PARTS:,} parts")
        if key in _UNSUPPORTED and isinstance(value, (dict, str)):
            raise Unprocessable(f"the schema uses {key}, which is not supported")
        if key == _DIALECT and isinstance(value, str):
            raise Unprocessable(f"{_DIALECT} must be at the top of the schema")
        if key == "$ref" and isinstance(value, str) and not value.startswith("#"):
            raise Unprocessable(f"$ref must lead into the schema itself, not to {value[:100]}")
        if key == "pattern" and isinstance(value, str):
            _compiled(value)
    try:
        _validator().check_schema(schema)
    except SchemaError as error:
        raise Unprocessable(f"not a JSON Schema: {error.message[:300]} ({error.json_path})") from error


def matched(answer: str, schema: Mapping[str, Any]) -> None:
    """Check that an answer is JSON that matches the schema. This may take seconds: call it in a thread.

    Raises:
        NotMatching: it is not.
    """
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        value = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotMatching(f"it is not JSON: {error}") from error
    validator = _validator()(_plain(schema), registry=_registry())
    reset = _ends.set(monotonic() + SECONDS)
    try:
        fault = best_match(islice(validator.iter_errors(value), _MOST_FAULTS))
    except _TooLong:
        raise NotMatching(f"comparing it with the schema takes more than {SECONDS:g} s") from None
    except (Unresolvable, RecursionError) as error:
        raise NotMatching(f"it cannot be compared with the schema: {error}") from error
    finally:
        _ends.reset(reset)
    if fault is not None:
        raise NotMatching(f"{fault.json_path}: {fault.message[:300]}")


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema without its dialect: answers are compared as in draft 2020-12."""
    return {key: value for key, value in schema.items() if key != _DIALECT}


def _members(value: Any, level: int) -> Iterator[tuple[str, Any]]:
    if level > MOST_LEVELS:
        raise Unprocessable(f"the schema is nested more than {MOST_LEVELS} levels deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from _members(inner, level + 1)
    elif isinstance(value, list):
        for inner in value:
            yield "", inner
            yield from _members(inner, level + 1)


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]

    keywords = {**Draft202012Validator.VALIDATORS, "pattern": _matches, "uniqueItems": _are_unique}
    return validators.extend(
        Draft202012Validator, {name: _in_time(keyword) for name, keyword in keywords.items()}
    )


def _in_time(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if monotonic() > _ends.get():
            raise _TooLong
        return keyword(validator, value, instance, schema)

    return check


def _registry() -> Any:
    from referencing import Registry

    return Registry()  # the default one fetches what a `$ref` names


def _matches(validator: Any, text: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not _compiled(text).found_in(instance):
        yield ValidationError(f"{instance!r} does not match {text!r}")


def _are_unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """Compare all items at once: the library compares each with each."""
    from jsonschema.exceptions import ValidationError

    if wanted and isinstance(instance, list) and len({*map(_hashable, instance)}) < len(instance):
        yield ValidationError("has items that are equal")


def _hashable(value: Any) -> Any:
    if isinstance(value, bool):  # which is no number
        return bool, value
    if isinstance(value, dict):
        return dict, frozenset((key, _hashable(inner)) for key, inner in value.items())
    return (list, *map(_hashable, value)) if isinstance(value, list) else value


def _compiled(text: str) -> Any:
    try:
        return pattern(text)
    except InvalidPattern as error:
        raise Unprocessable(f"the pattern {text[:100]!r} cannot be used: {error}") from error
