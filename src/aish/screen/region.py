"""The last lines of a terminal, which are drawn again and again, and the text above them, which scrolls away.

A line that has scrolled away is never written again.
"""

import os
import re

from aish.output import write
from aish.screen.cells import width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"
# Terminals that wrap the lines on the screen anew when their width changes. Others cut or keep them.
_REWRAPPING = (
    *("TMUX", "VTE_VERSION", "KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION"),
    *("TERM_PROGRAM", "WEZTERM_PANE", "ALACRITTY_WINDOW_ID", "GHOSTTY_RESOURCES_DIR"),
)


def terminal_size(descriptor: int) -> tuple[int, int]:
    """Return the columns and rows; 80 and 24 if they are unknown."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        columns, rows = 0, 0
    return columns or 80, rows or 24


class Region:
    """The lines that are drawn below everything else. It is empty at first.

    `can_move`: the terminal can move its cursor. Otherwise, nothing is drawn, and only text above is written.
    `size` returns the columns and rows.
    """

    def __init__(
        self, descriptor: int, *, can_move: bool = True, size: "Callable[[], tuple[int, int]] | None" = None
    ) -> None:
        self._descriptor = descriptor
        self.can_move = can_move
        self._size = size or (lambda: terminal_size(descriptor))
        self._lines: list[str] = []
        self._columns = 0
        self._rewraps = any(name in os.environ for name in _REWRAPPING)

    @property
    def size(self) -> tuple[int, int]:
        return self._size()

    @property
    def is_resized(self) -> bool:
        """Whether the width has changed since the lines were drawn."""
        return bool(self._lines) and self.size[0] != self._columns

    def draw(self, lines: "Sequence[str]") -> None:
        """Draw these lines in place of the earlier ones. Only as many of the last ones as fit are drawn."""
        if not self.can_move:
            return
        columns, rows = self.size
        lines = list(lines)[-max(rows - 1, 1) :]
        resized = columns != self._columns
        if lines == self._lines and not resized:
            return
        if not lines:
            self.erase()
            return
        kept = [] if resized else self._lines
        pieces = [self._to_first(), _NO_WRAP, _ERASE_BELOW if resized else ""]
        for at, line in enumerate(lines):
            same = at < len(kept) and kept[at] == line
            pieces.append(("\r\n" if at else "") + ("" if same else f"{_ERASE_LINE}{line}"))
        if same:  # the cursor belongs behind the text of the last line
            pieces.append(line)
        pieces += [_ERASE_BELOW if len(kept) > len(lines) else "", _WRAP]
        self._write("".join(pieces))
        self._lines, self._columns = lines, columns

    def erase(self) -> None:
        """Remove the lines. The cursor is where the first of them began."""
        if self._lines:
            self._write(f"{self._to_first()}{_ERASE_BELOW}")
            self._lines = []

    def above(self, text: str) -> None:
        """Write complete lines of text above the region, which `draw` has to draw again."""
        lead = f"{self._to_first()}{_ERASE_BELOW}" if self._lines else ""
        self._lines = []
        self._write(lead + text)

    def _to_first(self) -> str:
        """Return the movement from the end of the last line to the beginning of the first one."""
        columns, rows = self.size
        up = len(self._lines) - 1
        if self._lines and self._rewraps and columns < self._columns:
            up = sum(max(-(-width(_COLOUR.sub("", line)) // columns), 1) for line in self._lines) - 1
        up = min(up, rows - 1)
        return f"\r\x1b[{up}A" if up > 0 else "\r"

    def _write(self, text: str) -> None:
        write(self._descriptor, text.encode("utf-8", "replace"))
