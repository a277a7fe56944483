"""Reads settings from the environment: `RHETOR_HUB__PORT` sets `hub.port`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from .sections import Settings
from .validation import InvalidValue, convert, fields_of, type_at

PREFIX = "RHETOR_"


def values_in(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the environment sets, nested as in the file. Lists and mappings are in JSON."""
    found: dict[str, Any] = {}
    for _, keys, value in _variables(environment):
        for key in reversed(keys):
            value = {key: value}
        found = merged(found, value)
    return found


def variable_of(keys: Sequence[object]) -> str | None:
    """Return the environment variable that sets the value under `keys`, if there is one."""
    wanted = [str(key) for key in keys]
    setting = None
    for name, own, value in _variables(os.environ):
        if wanted[: len(own)] == own and _has(value, wanted[len(own) :]):
            setting = name  # a later one overrides an earlier one
    return setting


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, list[str], Any]]:
    """Yield the variables that set values: the name, the keys that it stands for, and the value. The variable
    of a whole section comes first, because those of its keys override it."""
    sections = fields_of(Settings)
    for name, text in sorted(environment.items(), key=lambda variable: variable[0].count("__")):
        prefix, keys = name[: len(PREFIX)].upper(), name[len(PREFIX) :].lower().split("__")
        if prefix == PREFIX and keys[0] in sections:
            yield name, keys, _decoded(text, type_at(Settings, keys))


def _has(value: Any, keys: Sequence[str]) -> bool:
    """Return whether the value of a section has a value under `keys`. Lists are not divided."""
    if not keys or isinstance(value, list):
        return True
    return isinstance(value, dict) and keys[0] in value and _has(value[keys[0]], keys[1:])


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the values of `above`, which take precedence. Nested mappings are merged too."""
    found = dict(below)
    for key, value in above.items():
        base = found.get(key)
        if isinstance(base, dict) and isinstance(value, dict):
            value = merged(base, value)
        found[key] = value
    return found


def _decoded(text: str, kind: Any) -> Any:
    """Return `text` if the type accepts it as it is, otherwise the JSON value that it contains, if any."""
    try:
        convert(text, kind)
    except InvalidValue:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return text
    return text
