"""What a tool call is about, on one line: its command, its file, or all its arguments."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# what the arguments of common tools are about, the most telling one first
_SUBJECTS = (
    *(
        "command",
        "cmd",
        "script",
        "file_path",
        "filePath",
        "path",
        "absolute_path",
        "fileName",
        "pattern",
        "query",
        "url",
    ),
    *("title", "skill", "description", "prompt", "name"),
)


def subject_of(arguments: Any, shown: Callable[[Any], str]) -> str:
    """Return what a tool call with these arguments is about. `shown`: returns a value on one line."""
    if not isinstance(arguments, dict):
        return shown(arguments)
    for name in _SUBJECTS:
        if isinstance(found := arguments.get(name), str) and found.strip():
            return shown(found)
        if isinstance(found, list) and found and all(isinstance(word, str) for word in found):
            return shown(" ".join(found))
    return ", ".join(f"{shown(name)}: {shown(value)}" for name, value in arguments.items())
