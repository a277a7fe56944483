"""Reads the configuration file: its values, and the line of each. It knows nothing about the settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rhetor.errors import InvalidSettings

if TYPE_CHECKING:
    import yaml  # imported when there is a file to read

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_DEPTH = 100
_BOOLEAN, _TEXT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:str"


class ConfigFile:
    """The contents of a configuration file. `values` are nested as in the file."""

    def __init__(self, path: Path | None, root: yaml.Node | None, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values
        self._root = root

    @classmethod
    def read(cls, path: Path | None, text: str | None = None) -> Self:
        """Read the file. One that does not exist counts as empty. `text`: read this instead.

        Raises:
            InvalidSettings: the file cannot be read, is not YAML, is not a mapping, or sets a key twice. The
                error names the line.
        """
        if path is None or (text is None and not path.exists()):
            return cls(path, None, {})
        root, values = _parsed(path, _text(path) if text is None else text)
        if not isinstance(values, dict):
            raise InvalidSettings(f"{path}: line 1: the file must be a mapping of sections")
        return cls(path, root, values)

    def located(self, keys: Sequence[str | int]) -> tuple[int, int | None]:
        """Return how many of `keys` lead to a value in the file, and the line of the last of these."""
        node, line = self._root, None
        for depth, key in enumerate(keys):
            if node is None or (found := _entry(node, key)) is None:
                return depth, line
            line, node = found
        return len(keys), line


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidSettings(f"{path}: the file is larger than {MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path}: {error}") from error


def _parsed(path: Path, text: str) -> tuple[yaml.Node | None, Any]:
    import yaml

    kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = kind(text)
    try:
        _require_shallow(path, yaml.parse(text, Loader=kind))  # the loader would end the process
        root = loader.get_single_node()
        if root is None:
            return None, {}
        _require_bounded(path, root)
        _require_unique_keys(path, root)
        _use_words_as_keys(root)
        return root, loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InvalidSettings(f"{path}: {where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidSettings(f"{path}: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()


def _require_shallow(path: Path, events: Iterable[Any]) -> None:
    """Reject a file whose values are nested too deeply."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1
            raise InvalidSettings(f"{path}: line {line}: values are nested more than {MAX_DEPTH} deep")


def _require_bounded(path: Path, root: yaml.Node) -> None:
    """Reject a file whose aliases stand for very many values, or for themselves."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    left = [(root, False)]
    while left:
        node, is_done = left.pop()
        line = node.start_mark.line + 1
        children = _children(node)
        if is_done:
            open_nodes.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
            if sizes[id(node)] > MAX_VALUES:
                raise InvalidSettings(f"{path}: line {line}: aliases stand for more than {MAX_VALUES} values")
        elif id(node) in open_nodes:
            raise InvalidSettings(f"{path}: line {line}: an alias stands for a value that contains it")
        elif id(node) not in sizes:
            open_nodes.add(id(node))
            left.append((node, True))
            left += [(child, False) for child in children]


def _children(node: yaml.Node) -> list[yaml.Node]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _require_unique_keys(path: Path, root: yaml.Node) -> None:
    """Reject a key that is set twice, because YAML silently takes the last value."""
    import yaml

    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:  # an alias of a node that was checked, or that contains this one
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines:
                    raise InvalidSettings(f"{path}: line {line}: {name} is already set in line {lines[name]}")
                lines[name] = line
                left.append(value)


def _use_words_as_keys(root: yaml.Node) -> None:
    """Take keys such as `on` as text. In YAML 1.1, they are true or false, which no setting is called."""
    import yaml

    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        left += _children(node)
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                if key.tag == _BOOLEAN:
                    key.tag = _TEXT


def _entry(node: yaml.Node, key: str | int) -> tuple[int, yaml.Node] | None:
    """Return the line and the node under `key` in a mapping or a sequence; None if there is none."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        # of a merged key (`<<`) and its override, the last one counts
        pairs = ((k.start_mark.line + 1, v) for k, v in reversed(node.value) if k.value == str(key))
        return next(pairs, None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None
