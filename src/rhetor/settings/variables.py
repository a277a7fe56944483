"""Reads settings from the environment: `RHETOR_HUB__PORT` sets `hub.port`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from .sections import Settings
from .validation import InvalidValue, convert, fields_of, type_at

PREFIX = "RHETOR_"


def values_in(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the environment sets, nested as in the file. Lists and mappings are in JSON."""
    found: dict[str, Any] = {}
    sections = fields_of(Settings)
    # the variable of a whole section comes first, so that those of its keys override it
    for name, text in sorted(environment.items(), key=lambda variable: variable[0].count("__")):
        prefix, keys = name[: len(PREFIX)].upper(), name[len(PREFIX) :].lower().split("__")
        if prefix == PREFIX and keys[0] in sections:
            value = _decoded(text, type_at(Settings, keys))
            for key in reversed(keys):
                value = {key: value}
            found = merged(found, value)
    return found


def variable_of(key: str) -> str | None:
    """Return the environment variable that sets the key, or a section that contains it, if there is one."""
    name = PREFIX + key.replace(".", "__").upper()
    return next((n for n in os.environ if n.upper() == name or name.startswith(n.upper() + "__")), None)


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
