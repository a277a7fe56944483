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
    """The keys whose values are not the same in both, in order; one that is there in one only, too."""
    one, other = (dict(_leaves(settings.model_dump())) for settings in (before, after))
    paths = {path for path in one | other if path not in one or path not in other or one[path] != other[path]}
    return sorted(".".join(path) for path in paths)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, str(key)))]
    return [(path, value)]
