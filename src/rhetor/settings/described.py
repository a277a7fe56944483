"""Describes each setting for a client that checks values before it sends them: its type, bounds, choices and
default, from the sections themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from msgspec import NODEFAULT, UNSET, Struct, UnsetType, inspect, to_builtins
from msgspec.structs import replace

from .meanings import MEANINGS
from .origins import may_be_secret
from .sections import Settings

NAME, NUMBER = "NAME", "N"  # what stands for the name of an entry, and for the place in a list
_JSON_TYPES: dict[type, str] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.VarTupleType: "array",
    inspect.DictType: "object",
    inspect.StructType: "object",
}
_UNITS = {
    "_bytes": "bytes",
    "bytes_at_once": "bytes",
    "bytes_per_second": "bytes per second",
    "_age_days": "days",
    "idle_exit": "seconds",
    "ttl": "seconds",
    "idle": "seconds",
    "after": "seconds",
    "usd_per_day": "USD",
    "usd_per_month": "USD",
}
_SECONDS = "timeouts."  # all settings of this section are in seconds


class Values(Struct, frozen=True, omit_defaults=True):
    """What a value must be. `type`: as in JSON Schema. `above`: it must be greater. `expected`: in words.
    `items`: of a list. `or_else`: what the value may be instead."""

    type: str
    choices: tuple[str, ...] | UnsetType = UNSET
    minimum: float | UnsetType = UNSET
    above: float | UnsetType = UNSET
    maximum: float | UnsetType = UNSET
    pattern: str | UnsetType = UNSET
    expected: str | UnsetType = UNSET
    items: Values | UnsetType = UNSET
    or_else: Values | UnsetType = UNSET


class Described(Struct, frozen=True):
    """A setting. `NAME` in `key` stands for the name of an entry, and `N` for its place in a list.
    `required`: an entry must have it. `nullable`: the value may be null. `secret`: it is shown masked, or
    parts of it are."""

    key: str
    values: Values
    default: Any
    description: str
    required: bool
    nullable: bool
    unit: str | None
    needs_restart: bool
    secret: bool

    def shown(self) -> dict[str, Any]:
        """Return the setting with what its values must be as members of its own."""
        own = to_builtins(self)
        return {"key": own.pop("key"), **own.pop("values"), **own}


def described(restart_only: Collection[str]) -> list[dict[str, Any]]:
    """Return all settings, in the order of the sections. `restart_only`: those that take effect when the hub
    starts."""
    info = inspect.type_info(Settings)
    assert isinstance(info, inspect.StructType)
    found = _of_section(info, "", Settings())
    return [each.shown() for each in _with_restarts(found, restart_only)]


def _with_restarts(found: Iterator[Described], keys: Collection[str]) -> Iterator[Described]:
    for each in found:
        yield replace(each, needs_restart=each.key in keys)


def _of_section(section: inspect.StructType, path: str, values: object | None) -> Iterator[Described]:
    """Yield the settings of a section. `values`: its defaults; None for an entry, which has those of its
    type."""
    for field in section.fields:
        key = path + field.name
        kind, nullable = _without_none(field.type)
        default = getattr(values, field.name) if values is not None else _default(field)
        if isinstance(kind, inspect.StructType):
            yield from _of_section(kind, f"{key}.", None if default is NODEFAULT else default)
            continue
        entry = _entry(kind)
        if entry is None:
            yield _described(key, kind, default, nullable=nullable, required=field.required)
            continue
        named = f"{key}.{NUMBER}" if isinstance(kind, inspect.VarTupleType) else f"{key}.{NAME}"
        inner, may_be_removed = _without_none(entry)
        if isinstance(kind, inspect.VarTupleType):
            yield _described(key, kind, default, nullable=nullable, required=field.required)
        elif named in MEANINGS or not isinstance(inner, inspect.StructType):
            yield _described(named, inner, NODEFAULT, nullable=may_be_removed, required=False)
        if isinstance(inner, inspect.StructType):
            yield from _of_section(inner, f"{named}.", None)


def _entry(kind: inspect.Type) -> inspect.Type | None:
    """Return the type of the entries that the user names or lists; None if the value has none."""
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.StructType):
        return kind.item_type
    is_named = isinstance(kind, inspect.DictType) and f"{NAME}" in _names_of(kind)
    return kind.value_type if isinstance(kind, inspect.DictType) and is_named else None


def _names_of(kind: inspect.DictType) -> str:
    """Return `NAME` if the keys of a mapping are names of entries with settings of their own."""
    value, _ = _without_none(kind.value_type)
    is_team = isinstance(value, inspect.VarTupleType) and isinstance(value.item_type, inspect.StrType)
    is_section = isinstance(value, inspect.StructType) and any(
        key.endswith(f".{NAME}.{field.name}") for key in MEANINGS for field in value.fields
    )
    return NAME if is_section or is_team else ""


def _described(key: str, kind: inspect.Type, default: Any, *, nullable: bool, required: bool) -> Described:
    shown = None if default is NODEFAULT else to_builtins(default)
    unit = "seconds" if key.startswith(_SECONDS) else _unit(key)
    return Described(
        key,
        _values(kind),
        shown,
        MEANINGS[key],
        required,
        nullable,
        unit,
        needs_restart=False,
        secret=may_be_secret(tuple(key.split("."))),
    )


def _unit(key: str) -> str | None:
    return next((unit for end, unit in _UNITS.items() if key.rpartition(".")[2].endswith(end)), None)


def _values(kind: inspect.Type, expected: str | UnsetType = UNSET) -> Values:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=schema):
            return _values(inner, (schema or {}).get("description", UNSET))
        case inspect.LiteralType(values=choices):
            return Values("string", tuple(map(str, choices)))
        case inspect.IntType() | inspect.FloatType():
            return Values(
                _JSON_TYPES[type(kind)],
                minimum=_bound(kind.ge),
                above=_bound(kind.gt),
                maximum=_bound(kind.le),
                expected=expected,
            )
        case inspect.StrType(pattern=pattern):
            return Values("string", pattern=_javascript(pattern), expected=expected)
        case inspect.UnionType(types=(one, *others)):
            other = _values(others[0] if len(others) == 1 else inspect.UnionType(tuple(others)))
            return replace(_values(one, expected), or_else=other)
        case inspect.VarTupleType(item_type=item):
            return Values("array", items=_values(item))
    return Values(_JSON_TYPES.get(type(kind), "string"), expected=expected)


def _bound(value: float | None) -> float | UnsetType:
    return UNSET if value is None else value


def _javascript(pattern: str | None) -> str | UnsetType:
    """Return a pattern as JSON Schema has it, whose `$` is only the end of the text."""
    return UNSET if pattern is None else pattern.replace(r"\Z", "$")


def _without_none(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    """Return a type without None, and whether it has it."""
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    types = tuple(each for each in kind.types if not isinstance(each, inspect.NoneType))
    is_nullable = len(types) < len(kind.types)
    return (types[0] if len(types) == 1 else inspect.UnionType(types)), is_nullable


def _default(field: inspect.Field) -> Any:
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return field.default
