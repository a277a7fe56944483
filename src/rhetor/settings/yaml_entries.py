"""Replaces, adds and removes entries in the text of a YAML file, at the places that the parser reports.

Only the characters of the entry change. A library that writes the whole file again would move comments to
other entries, and lose those after a removed one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import yaml  # imported when a file is edited

_WIDTH = 1 << 30  # no line is folded
_LINE_ENDS = ("\x85", "\u2028", "\u2029")  # besides newlines
_STEP = 2  # blanks that new entries are indented by


class Unusual(Exception):
    """The entry is written in a way that only a person can change."""


def edit(text: str, keys: Sequence[str], value: Any, *, removes: bool) -> str:
    """Return the text with another value under `keys`, or without that entry. The result may have other
    changes, too, if the file is written in an unusual way.

    Raises:
        Unusual: the place of the entry cannot be found.
    """
    import yaml

    newline = "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(root, yaml.MappingNode):
        if removes:
            return text
        head = text if not text or text.endswith("\n") else text + newline
        return head + _block(keys, value, 0, newline)
    above: list[_Entry] = []
    mapping = root
    for depth, key in enumerate(keys):
        entry = _entry(mapping, key)
        if entry is None:
            return text if removes else _added(text, mapping, keys[depth:], value, newline)
        if entry.value.start_mark.index < entry.key.end_mark.index:
            raise Unusual  # an alias: its value is at another place
        above.append(entry)
        if depth + 1 < len(keys):
            if not isinstance(entry.value, yaml.MappingNode):
                rest = keys[depth + 1 :]
                return text if removes else _replaced(text, entry, _nested(rest, value), newline)
            mapping = entry.value
    if removes:
        return _without(text, above[-1], newline)
    return _replaced(text, above[-1], value, newline)


class _Entry(NamedTuple):
    """An entry of a mapping. `place`: its number among the others."""

    mapping: yaml.MappingNode
    place: int

    @property
    def key(self) -> yaml.Node:
        return self._pair[0]

    @property
    def value(self) -> yaml.Node:
        return self._pair[1]

    @property
    def _pair(self) -> tuple[yaml.Node, yaml.Node]:
        pair: tuple[yaml.Node, yaml.Node] = self.mapping.value[self.place]
        return pair


def _entry(mapping: yaml.MappingNode, key: str) -> _Entry | None:
    names = (str(k.value) for k, _ in mapping.value)
    return next((_Entry(mapping, n) for n, name in enumerate(names) if name == key), None)


def _nested(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _added(text: str, mapping: yaml.MappingNode, keys: Sequence[str], value: Any, newline: str) -> str:
    """Return the text with a new entry at the end of a mapping."""
    if mapping.flow_style:
        entry = _flow({keys[0]: _nested(keys[1:], value)})[1:-1]
        if not mapping.value:
            return _spliced(text, mapping.start_mark.index, mapping.end_mark.index, f"{{{entry}}}")
        at = _end(text, _Entry(mapping, len(mapping.value) - 1))
        return _spliced(text, at, at, f", {entry}")
    column = mapping.start_mark.column
    at = _end_of_line(text, _end(text, _Entry(mapping, len(mapping.value) - 1)))
    missing = newline if at and text[at - 1] != "\n" else ""
    return _spliced(text, at, at, missing + _block(keys, value, column, newline))


def _replaced(text: str, entry: _Entry, value: Any, newline: str) -> str:
    """Return the text with another value of an entry."""
    begin, end = _colon(text, entry), _end(text, entry)
    if entry.mapping.flow_style:
        return _spliced(text, begin, max(begin, end), f" {_flow({'k': value})[4:-1]}")
    is_inline = begin < end and entry.value.start_mark.line == entry.key.end_mark.line
    comment = "" if is_inline else _comment(text, begin)
    if _is_nested(value):
        column = entry.mapping.start_mark.column
        inner = _block(("k",), value, column, newline)
        fresh = inner[column + len("k:") :].removesuffix(newline)
        head, _, rest = fresh.partition(newline)
        fresh = head + comment + (newline + rest if rest else "")
    else:
        fresh = f" {_flow(value)}{comment}"
    if end > begin and text[end - 1] == "\n":
        fresh += newline
    if comment and end < begin + len(comment):
        end = begin + len(comment)
    return _spliced(text, begin, max(begin, end), fresh)


def _is_nested(value: Any) -> bool:
    return (isinstance(value, dict) and bool(value)) or (isinstance(value, str) and "\n" in value)


def _without(text: str, entry: _Entry, newline: str) -> str:
    """Return the text without an entry. A mapping that has no other one is empty then."""
    mapping, others = entry.mapping, entry.mapping.value
    if mapping.flow_style:
        return _without_in_flow(text, entry)
    if len(others) == 1:
        begin, end = mapping.start_mark.index, _end(text, entry)
        if begin == 0 or not text[:begin].strip():  # the file has no other entry
            return _spliced(text, _start_of_line(text, begin), _end_of_line(text, end), "")
        head = text[:begin].rstrip(" \t")
        tail = newline if text[end - 1] == "\n" else ""
        return f"{head}{' ' * mapping.start_mark.column}{{}}{tail}{text[end:]}"
    begin = entry.key.start_mark.index
    start = _start_of_line(text, begin)
    if text[start:begin].strip():
        raise Unusual
    return _spliced(text, start, _end_of_line(text, _end(text, entry)), "")


def _without_in_flow(text: str, entry: _Entry) -> str:
    pairs = entry.mapping.value
    begin, end = entry.key.start_mark.index, _end(text, entry)
    if entry.place + 1 < len(pairs):
        comma = text.index(",", end)
        after = re.compile(r"[ \t]*").match(text, comma + 1)
        return _spliced(text, begin, after.end() if after else comma + 1, "")
    if entry.place:
        before = _end(text, _Entry(entry.mapping, entry.place - 1))
        if not text[before:begin].strip(" \t,"):
            begin = before
    return _spliced(text, begin, end, "")


def _colon(text: str, entry: _Entry) -> int:
    """Return the position after the colon of an entry."""
    found = re.compile(r"\s*:").match(text, entry.key.end_mark.index)
    if found is None:
        raise Unusual
    return found.end()


def _comment(text: str, at: int) -> str:
    """Return the comment in the rest of a line, with the blanks before it; empty if there is none."""
    found = re.compile(r"[ \t]+#[^\r\n]*").match(text, at)
    return found[0] if found else ""


def _end(text: str, entry: _Entry) -> int:
    """Return the position after an entry, without what follows it: blanks, comments, blank lines."""
    import yaml

    value = entry.value
    if value.start_mark.index < entry.key.end_mark.index:  # an alias
        found = re.compile(r"\s*:\s*\*[^\s,}\]]+").match(text, entry.key.end_mark.index)
        if found is None:
            raise Unusual
        return found.end()
    if isinstance(value, yaml.ScalarNode):
        if value.start_mark.index == value.end_mark.index:  # none
            after = re.compile(r"\s*:").match(text, entry.key.end_mark.index)
            return after.end() if after else entry.key.end_mark.index
        return _end_of_scalar(text, value)
    if isinstance(value, yaml.CollectionNode) and value.flow_style:
        return int(value.end_mark.index)
    return max(_end_inside(text, value), entry.key.end_mark.index)


def _end_inside(text: str, node: yaml.Node) -> int:
    """Return the same for the last entry or item of a collection that has one on each line."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return _end(text, _Entry(node, len(node.value) - 1))
    last = node.value[-1]
    if isinstance(last, yaml.ScalarNode):
        return _end_of_scalar(text, last)
    is_flow = isinstance(last, yaml.CollectionNode) and last.flow_style
    return int(last.end_mark.index) if is_flow else _end_inside(text, last)


def _end_of_scalar(text: str, node: yaml.ScalarNode) -> int:
    end = int(node.end_mark.index)
    if node.style not in ("|", ">"):
        return end
    header = text[node.start_mark.index : text.index("\n", node.start_mark.index)]
    if "+" in header.partition("#")[0]:  # the blank lines after it belong to it
        return end
    written = text[node.start_mark.index : end]
    kept = len(written.rstrip(" \t\r\n"))
    return _end_of_line(text, node.start_mark.index + kept)


def _start_of_line(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _end_of_line(text: str, at: int) -> int:
    """Return the beginning of the next line; `at` itself if a line begins there."""
    if at and text[at - 1] == "\n":
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _spliced(text: str, begin: int, end: int, fresh: str) -> str:
    return text[:begin] + fresh + text[end:]


def _flow(value: Any) -> str:
    """Return a value in one line."""
    dumped = _dump(value, flow=True)
    return dumped.removesuffix("\n...\n").removesuffix("\n")


def _block(keys: Sequence[str], value: Any, column: int, newline: str) -> str:
    """Return the lines of an entry."""
    dumped = _dump(_nested(keys, value), flow=False)
    lines = (" " * column + line if line else line for line in dumped.split("\n")[:-1])
    return "".join(line + newline for line in lines)


def _dump(value: Any, *, flow: bool) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
        # a block that ends with an empty line would also need a mark of the document's end after it
        is_odd = data.endswith("\n\n") or data == "\n" or any(each in data for each in _LINE_ENDS)
        block = "|" if "\n" in data and not flow else None
        style = '"' if is_odd else block  # other styles would fold the line at unusual line ends
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def items(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)

    def entries(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.Node:
        return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=flow or not data)

    Dumper.add_representer(str, text)
    Dumper.add_representer(list, items)
    Dumper.add_representer(dict, entries)
    dumped: str = yaml.dump(
        value, Dumper=Dumper, allow_unicode=True, width=_WIDTH, sort_keys=False, indent=_STEP
    )
    return dumped
