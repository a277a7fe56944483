"""Changes values in the text of a configuration file. Everything else in it stays as it is: comments, blank
lines, quotes, the order of the keys.

Each result is parsed again and compared with what it must contain, so that no unusual notation is ever
damaged: such an entry is left to a person. The module reads and writes no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rhetor.errors import InvalidSettings

from .variables import merged
from .yaml_entries import Unusual, edit

MOST_CHANGES = 1000
BOM = "\ufeff"


class Change(NamedTuple):
    """A value to set under `keys`, or the entry to remove."""

    keys: tuple[str, ...]
    value: Any = None
    removes: bool = False


class NotEditable(InvalidSettings):
    """The file is written in a way in which the entry cannot be changed without changing others."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(
            f"{'.'.join(keys)} is written in a way that can only be changed by hand; run: aish config edit"
        )


def changes_of(patch: Mapping[str, Any], values: Mapping[str, Any]) -> list[Change]:
    """Return the changes of a JSON Merge Patch (RFC 7396) to `values`: null removes an entry."""
    return list(_changes(patch, values, ()))


def _changes(patch: Mapping[str, Any], values: Any, above: tuple[str, ...]) -> Iterator[Change]:
    for key, value in patch.items():
        keys, inner = (*above, key), values.get(key) if isinstance(values, dict) else None
        if value is None:
            if isinstance(values, dict) and key in values:
                yield Change(keys, removes=True)
        elif isinstance(value, dict) and value and isinstance(inner, dict):
            yield from _changes(value, inner, keys)
        elif value != inner or type(value) is not type(inner):
            yield Change(keys, _without_null(value))


def _without_null(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_null(inner) for key, inner in value.items() if inner is not None}


def edited(text: str, changes: Sequence[Change]) -> str:
    """Return the text with the changes.

    Raises:
        NotEditable: an entry cannot be changed without changing others.
        InvalidSettings: there are too many changes.
    """
    if len(changes) > MOST_CHANGES:
        raise InvalidSettings(f"more than {MOST_CHANGES} values to change at once")
    mark = BOM if text.startswith(BOM) else ""  # the parser does not count it
    text = text.removeprefix(BOM)
    for change in changes:
        wanted = _changed(_loaded(text), change)
        try:
            text = edit(text, change.keys, change.value, removes=change.removes)
        except Unusual:
            raise NotEditable(change.keys) from None
        if _loaded(text, change.keys) != wanted:
            raise NotEditable(change.keys)
    return mark + text


def _changed(values: dict[str, Any], change: Change) -> dict[str, Any]:
    if not change.removes:
        patch = change.value
        for key in reversed(change.keys):
            patch = {key: patch}
        return merged(_removed(values, change.keys), patch)
    return _removed(values, change.keys)


def _removed(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    found = dict(values)
    if len(keys) == 1:
        found.pop(keys[0], None)
    elif isinstance(inner := found.get(keys[0]), dict):
        found[keys[0]] = _removed(inner, keys[1:])
    return found


def _loaded(text: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        raise NotEditable(keys) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise NotEditable(keys)
    return found
