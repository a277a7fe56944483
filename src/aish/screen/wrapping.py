"""Wraps text that arrives in pieces between words, as a complete text would be wrapped."""

import re

from aish.screen.cells import width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_PARTS = re.compile(r"\n|[ \t]+|[^ \t\n]+")
_TAB = 8


class Wrapping:
    """Holds the last word back until it is complete. `columns`: returns the width of the terminal. A word
    that is wider than that is left to the terminal."""

    def __init__(self, columns: "Callable[[], int]") -> None:
        self._columns = columns
        self._held = ""  # the beginning of a word
        self._blanks = ""  # before it
        self._at = 0  # the cells that are taken in the line
        self._has_words = False  # in the line

    def feed(self, text: str) -> str:
        """Return what can be shown now."""
        parts = _PARTS.findall(self._held + text)
        self._held = parts.pop() if parts and not parts[-1].isspace() else ""
        return "".join(map(self._placed, parts))

    def end(self) -> str:
        """Return the rest, and start again at the beginning of a line."""
        rest = self._placed(self._held) if self._held else ""
        self._held = ""
        self._begin_line()
        return rest

    def _begin_line(self) -> None:
        self._blanks, self._at, self._has_words = "", 0, False

    def _placed(self, part: str) -> str:
        if part == "\n":
            self._begin_line()
            return part
        if part.isspace():
            self._blanks += part.replace("\t", " ") if self._has_words else part.expandtabs(_TAB)
            return ""
        columns, blanks, size = self._columns(), self._blanks, width(_COLOUR.sub("", part))
        is_first, self._has_words, self._blanks = not self._has_words, True, ""
        if not is_first and self._at + len(blanks) + size > columns >= size:
            self._at = size
            return f"\n{part}"
        self._at += len(blanks) + size
        if columns and self._at > columns:
            self._at = self._at % columns or columns
        return blanks + part
