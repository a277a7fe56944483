"""What is in force, and where each value is from: for people, so that secrets are masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .places import depth_in, line_of, text_of, variable_of
from .sections import Settings

MASK = "(masked)"


def origins(settings: Settings, file: Path) -> list[tuple[str, Any, str]]:
    """Each value in force with its key and where it is from: a variable, the file, or built in."""
    text = text_of(file)
    found: list[tuple[str, Any, str]] = []
    for path, value in _leaves(settings.model_dump(mode="json")):
        key = ".".join(path)
        variable, line = variable_of(key), line_of(text, list(path))
        if "env" in path[:-1]:
            value = MASK  # what programs are given may be a secret
        in_file = line is not None and depth_in(text, path) == len(path)
        found.append((key, value, variable or (f"{file}:{line}" if in_file else "built in")))
    return found


def differing(before: Settings, after: Settings) -> list[str]:
    """The keys whose values are not the same in both, in order. What is there in one only is one key as a
    whole: `tools.box`."""
    one, other = (dict(_leaves(settings.model_dump())) for settings in (before, after))
    found = {path for path in one if path in other and one[path] != other[path]}
    for here, there in ((one, other), (other, one)):
        known = {path[:size] for path in there for size in range(1, len(path) + 1)}
        for path in here:
            if path not in there and here[path] != {}:
                size = next((n for n in range(1, len(path)) if path[:n] not in known), len(path))
                found.add(path[:size])
    return sorted(map(".".join, found))


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, str(key)))]
    return [(path, value)]
