"""Lists the values in force and where each comes from. Secrets are masked, because people read the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import to_builtins

from rhetor.domain.secrets import masked_arguments, masked_password, masked_url

from .config_file import ConfigFile
from .notifications import masked_entry
from .sections import Settings
from .variables import variable_of

MASK = "(masked)"


def origins(settings: Settings, path: Path) -> list[tuple[str, Any, str]]:
    """Return each value in force as (key, value, origin): a variable, a line of the file, or built in."""
    file = ConfigFile.read(path)
    found: list[tuple[str, Any, str]] = []
    for keys, value in _leaves(to_builtins(settings)):
        key = ".".join(keys)
        depth, line = file.located(keys)
        value = _masked(keys, value)
        found.append(
            (key, value, variable_of(keys) or (f"{path}:{line}" if depth == len(keys) else "built in"))
        )
    return found


def may_be_secret(keys: tuple[str, ...]) -> bool:
    """Return whether the value under these keys is shown masked, or parts of it may be."""
    is_of_program = "env" in keys or keys[-1] in ("command", "args", "url")
    return is_of_program or keys in (("notify",), ("store",))


def _masked(keys: tuple[str, ...], value: Any) -> Any:
    """Return the value without the secrets in a program's variables and arguments, and in URLs."""
    if "env" in keys[:-1]:
        return MASK
    if keys == ("notify",):
        return [masked_entry(entry, MASK) for entry in value]
    if keys == ("store",):
        return masked_url(masked_password(value, MASK), MASK)
    if keys[-1] in ("command", "args") and isinstance(value, list | tuple):
        return masked_arguments(value, MASK)
    return masked_url(value, MASK) if keys[-1] == "url" and isinstance(value, str) else value


def differing(before: Settings, after: Settings) -> list[str]:
    """Return the keys whose values differ, sorted. An entry that only one of the two has counts as one key,
    such as `tools.box`."""
    one, other = (dict(_leaves(to_builtins(settings))) for settings in (before, after))
    found = {keys for keys in one if keys in other and one[keys] != other[keys]}
    for here, there in ((one, other), (other, one)):
        known = {keys[:size] for keys in there for size in range(1, len(keys) + 1)}
        for keys in here:
            if keys not in there and here[keys] != {}:
                size = next((n for n in range(1, len(keys)) if keys[:n] not in known), len(keys))
                found.add(keys[:size])
    return sorted(map(".".join, found))


def _leaves(value: Any, keys: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*keys, str(key)))]
    return [(keys, value)]
