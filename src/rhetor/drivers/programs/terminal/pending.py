"""Text that was typed into a terminal and not run: whether it is still there, and the keys that remove it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .screen import Screen

TAIL: Final = 200  # characters at its end that are compared
_KILL_LINE, _ERASE = b"\x15", b"\x7f"


class Pending:
    """Text that was typed and not run."""

    def __init__(self, text: str) -> None:
        self.text = text

    def shown(self, screen: Screen) -> bool:
        """Return whether the text is still before the cursor, or somewhere on a full screen."""
        tail = _visible(self.text)[-TAIL:]
        if screen.alternate:
            return tail in _visible("".join(screen.text()))
        at = screen.cursor
        rows = screen.text()[: at.row + 1]
        rows[-1] = rows[-1][: at.col + (at.col == screen.cols - 1)]
        return bool(tail) and _visible("".join(rows)).endswith(tail)

    def erasers(self) -> Iterator[bytes]:
        """Yield keys that may remove the text, to be typed until it is gone."""
        yield _KILL_LINE
        yield _ERASE * len(self.text)


def without(typed: str, line: str) -> str:
    """Return the line without the typed text at its end."""
    return line.removesuffix(typed) if typed else line


def _visible(text: str) -> str:
    return "".join(text.split())
