"""Shows what a permission request would change in files, as unified diffs.

Agents describe edits in their own ways: as two texts, as several, as the whole new file, or as a diff.
"""

import os
from stat import S_ISREG

from aish.render import one_line, revealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PATHS = ("file_path", "filePath", "filepath", "path", "absolute_path", "notebook_path", "fileName")
_OLD, _NEW = ("old_string", "oldString", "oldText"), ("new_string", "newString", "newText")
_WHOLE = ("content", "contents", "file_text")
_DIFFS = ("diff", "unified_diff", "patch")
_MAX_FILE_BYTES = 4 * 1024 * 1024


class Change:
    """A change of one file. `before` is None if the file is new or cannot be read, `diff` is set if the agent
    has sent one."""

    def __init__(self, path: str, before: str | None, after: str, diff: str = "") -> None:
        self.path = path
        self.before = before
        self.after = after
        self._diff = diff

    def lines(self) -> list[str]:
        """Return the lines of the diff, without the file's name."""
        if self._diff:
            return [revealed(line) for line in self._diff.strip("\n").split("\n")]
        from difflib import unified_diff

        before, after = (self.before or "").splitlines(), self.after.splitlines()
        return [revealed(line) for line in list(unified_diff(before, after, lineterm=""))[2:]]

    def contains(self, value: "Any") -> bool:
        """Whether the diff shows this argument of the tool already."""
        if not isinstance(value, str) or not value.strip():
            return False
        return value in (self.path, self.before, self.after, self._diff)


def changes_of(arguments: "Any", detail: "Any") -> "list[Change]":
    """Return the changes that a tool with these arguments makes, from them or from the rest of the
    request."""
    found = list(_from_arguments(arguments)) if isinstance(arguments, dict) else []
    if not found and isinstance(detail, dict):
        found = [*_from_content(detail.get("content")), *_from_changes(detail.get("changes"))]
    return found


def heading_of(change: Change) -> str:
    return one_line(revealed(change.path)) or "a file"


def _from_arguments(arguments: "dict[str, Any]") -> "Iterator[Change]":
    path = _first(arguments, _PATHS) or ""
    edits = arguments.get("edits")
    for edit in [arguments, *(edits if isinstance(edits, list) else ())]:
        if not isinstance(edit, dict):
            continue
        old, new = _first(edit, _OLD), _first(edit, _NEW)
        if path and new is not None:
            yield Change(path, old, new)
    whole, diff = _first(arguments, _WHOLE), _first(arguments, _DIFFS)
    if diff is not None:
        yield Change(path, None, "", diff)
    elif path and whole is not None:
        yield Change(path, _file(path), whole)


def _from_content(content: "Any") -> "Iterator[Change]":
    """Yield the diffs of an ACP agent: `{type: "diff", path, oldText, newText}`."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "diff" and isinstance(block.get("newText"), str):
            old = block.get("oldText")
            yield Change(str(block.get("path", "")), old if isinstance(old, str) else None, block["newText"])


def _from_changes(changes: "Any") -> "Iterator[Change]":
    """Yield the changes of Codex: a list of `{path, kind, diff}`, or such objects by path."""
    if isinstance(changes, dict):
        changes = [{"path": path, **change} for path, change in changes.items() if isinstance(change, dict)]
    for change in changes if isinstance(changes, list) else ():
        if not isinstance(change, dict):
            continue
        diff, whole = _first(change, _DIFFS), _first(change, _WHOLE)
        if diff is not None:
            yield Change(str(change.get("path", "")), None, "", diff)
        elif whole is not None:
            yield Change(str(change.get("path", "")), None, whole)


def _first(members: "dict[str, Any]", names: "tuple[str, ...]") -> str | None:
    return next((members[name] for name in names if isinstance(members.get(name), str)), None)


def _file(path: str) -> str | None:
    """Return the content of a file on this machine; None if it is not there, not a text, or too large."""
    try:
        if not S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return None
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError):
        return None
    return text if len(text) <= _MAX_FILE_BYTES else None
