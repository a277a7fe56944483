"""Where a value stands: its line in the file, its variable in the environment. It knows no setting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from rhetor.errors import InvalidSettings

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text_of(file: Path | None) -> str:
    """What is in the file; nothing where there is none.

    Raises:
        InvalidSettings: it cannot be read.
    """
    if file is None or not file.exists():
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{file}: {error}") from error


def values_of(file: Path | None, text: str) -> dict[str, Any]:
    """The file's values by section.

    Raises:
        InvalidSettings: it is no YAML, or no mapping, or has a key twice; says where.
    """
    try:
        loaded = _loaded(file, text) if text else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise InvalidSettings(f"{file}: {where}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidSettings(f"{file}: {error}") from error
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict):
        raise InvalidSettings(f"{file}: line 1: the file must be a mapping of sections")
    return loaded


def _loaded(file: Path | None, text: str) -> Any:
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_once(file, node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _require_once(file: Path | None, root: yaml.Node) -> None:
    """Of a key that is there twice YAML takes the last one, and says nothing."""
    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:  # an alias of what was looked at, or of what holds it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    raise InvalidSettings(f"{file}: line {line}: {name} is in line {lines[name]} already")
                lines[name] = line
                left.append(value)


def variable_of(key: str) -> str | None:
    """The variable of the environment that sets the key, or a part of it."""
    name = "RHETOR_" + key.replace(".", "__").upper()
    return next((n for n in os.environ if n.upper() == name or name.startswith(n.upper() + "__")), None)


def line_of(text: str, path: list[int | str]) -> int | None:
    """The line of the deepest part of `path` that the file has."""
    node = yaml.compose(text, LOADER) if text else None
    line = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((p for p in node.value if p[0].value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def depth_in(text: str, path: tuple[str, ...]) -> int:
    """How many parts of `path` the file has."""
    value = yaml.load(text, LOADER) if text else None
    for depth, part in enumerate(path):
        if not (isinstance(value, dict) and part in value):
            return depth
        value = value[part]
    return len(path)
