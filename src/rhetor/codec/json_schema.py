"""JSON Schema for answers: checks a schema of a user, and compares an answer with it.

Patterns are searched with RE2, because those of users may need exponential time otherwise. Nothing is fetched
for a `$ref`: it must lead into the schema itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from rhetor.codec.patterns import InvalidPattern, pattern
from rhetor.errors import Unprocessable

MOST_BYTES = 64 << 10
MOST_LEVELS = 32
_UNSUPPORTED = ("patternProperties", "$dynamicRef", "$recursiveRef")  # the first is searched with `re`


class NotMatching(ValueError):
    """The answer does not match the schema; the message says where and why."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that answers can be compared with a schema.

    Raises:
        Unprocessable: it is no JSON Schema, or too large, or uses what is not supported.
    """
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]

    if len(msgspec.json.encode(schema)) > MOST_BYTES:
        raise Unprocessable(f"the schema is larger than {MOST_BYTES} bytes")
    for key, value in _members(schema, 0):
        if key in _UNSUPPORTED and isinstance(value, (dict, str)):
            raise Unprocessable(f"the schema uses {key}, which is not supported")
        if key == "$ref" and isinstance(value, str) and not value.startswith("#"):
            raise Unprocessable(f"$ref must lead into the schema itself, not to {value[:100]}")
        if key == "pattern" and isinstance(value, str):
            _compiled(value)
    try:
        _validator().check_schema(schema)
    except SchemaError as error:
        raise Unprocessable(f"not a JSON Schema: {error.message[:300]} ({error.json_path})") from error


def matched(answer: str, schema: Mapping[str, Any]) -> None:
    """Check that an answer is JSON that matches the schema.

    Raises:
        NotMatching: it is not.
    """
    from jsonschema.exceptions import ValidationError, best_match
    from referencing.exceptions import Unresolvable

    try:
        value = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotMatching(f"it is not JSON: {error}") from error
    try:
        found: ValidationError | None = best_match(
            _validator()(schema, registry=_registry()).iter_errors(value)
        )
    except (Unresolvable, RecursionError) as error:
        raise NotMatching(f"it cannot be compared with the schema: {error}") from error
    if found is not None:
        raise NotMatching(f"{found.json_path}: {found.message[:300]}")


def _members(value: Any, level: int) -> Iterator[tuple[str, Any]]:
    if level > MOST_LEVELS:
        raise Unprocessable(f"the schema is nested more than {MOST_LEVELS} levels deep")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from _members(inner, level + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner, level + 1)


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped]

    return validators.extend(Draft202012Validator, {"pattern": _matches})


def _registry() -> Any:
    from referencing import Registry

    return Registry()  # the default one fetches what a `$ref` names


def _matches(validator: Any, text: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not _compiled(text).found_in(instance):
        yield ValidationError(f"{instance!r} does not match {text!r}")


def _compiled(text: str) -> Any:
    try:
        return pattern(text)
    except InvalidPattern as error:
        raise Unprocessable(f"the pattern {text[:100]!r} cannot be used: {error}") from error
