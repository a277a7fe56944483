"""Reduces terminal output to text as a person would read it in a log, or to text with colours.

`PlainText` keeps one line and applies what rewrites it (carriage return, backspace, cursor left, erase), so a
progress bar leaves one line. There is no screen.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from rhetor.codec.ansi import Control, Csi, Text, Token, Tokenizer

MAX_LINE: Final = 1 << 20

# bidirectional controls, and characters that take no place or look like nothing; not the joiners of emoji
_HIDDEN = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_COLOUR = re.compile("[0-9:;]{0,64}")
_CONCEAL = re.compile("(?:^|(?<![34]8;5);)0*8(?=[;:]|$)")


def as_text(text: str) -> str:
    """Return a whole text without control characters other than newline and tab, control sequences, and
    bidirectional or invisible characters."""
    tokens = Tokenizer().feed_text(text)
    shown = (token.text if isinstance(token, Text) else _kept(token) for token in tokens)
    return _HIDDEN.sub("", "".join(shown))


def _kept(token: Token) -> str:
    return token.char if isinstance(token, Control) and token.char in "\n\t" else ""


class PlainText:
    """Turns bytes, split anywhere, into whole lines that end with LF. `line` is the incomplete one.

    `columns` is the width of the terminal. With it, a line that is wrapped over several rows counts as one
    line, and a line editor may move the cursor between its rows. A line of more than 1 Mi characters is
    returned before it is complete, without LF.
    """

    def __init__(self, columns: int | None = None) -> None:
        self._tokenizer = Tokenizer()
        self.columns = columns
        self._cells: list[str] = []  # one per column; the second column of a wide character is ""
        self._at = 0
        self._wraps = False  # the last column was just written, and the cursor is still on it

    @property
    def line(self) -> str:
        """The text of the incomplete line."""
        return "".join(self._cells)

    @property
    def before_cursor(self) -> str:
        """The text of the incomplete line up to the cursor."""
        return "".join(self._cells[: self._at])

    @property
    def row(self) -> int:
        """The row of the incomplete line on which the cursor is, from 0."""
        return self._row_start() // self.columns if self.columns else 0

    @property
    def at_end(self) -> bool:
        """Whether nothing is to the right of the cursor."""
        return self._at >= len(self._cells)

    def feed(self, data: bytes) -> str:
        """Return the lines that `data` completes."""
        return "".join([self.take(token) for token in self._tokenizer.feed(data)])

    def take(self, token: Token) -> str:
        """Do the same as `feed`, for one token of the caller's tokenizer."""
        if isinstance(token, Text):
            self._write(token.text)
            return self._over(end="") if len(self._cells) > MAX_LINE else ""
        if isinstance(token, Control):
            return self._control(token.char)
        if isinstance(token, Csi) and not token.prefix and not token.intermediates:
            self._sequence(token.final, token.numbers()[0])
        return ""

    def resume(self, line: str) -> None:
        """Make `line` the incomplete line again, because the cursor has returned to its beginning."""
        self._cells, self._at, self._wraps = list(line), 0, False

    def finish(self) -> str:
        """Return the incomplete line. The next output starts a new one."""
        return self._over(end="")

    def _over(self, end: str = "\n") -> str:
        line = self.line + end
        self._cells, self._at, self._wraps = [], 0, False
        return line

    def _write(self, text: str) -> None:
        cells = list(text) if text.isascii() else _cells(text, self._cells[: self._at])
        at = self._at
        if at > len(self._cells):
            self._cells.extend(" " * (at - len(self._cells)))
        self._cells[at : at + len(cells)] = cells
        self._at = at + len(cells)
        self._wraps = bool(self.columns and cells and self._at % self.columns == 0)

    def _control(self, char: str) -> str:
        if char in "\n\v\f":
            return self._line_feed()
        if char == "\r":
            self._at = self._row_start()
        elif char == "\b":
            self._at = max(self._at - 1, 0)
        elif char == "\t":
            self._write("\t")
        if char in "\r\b":
            self._wraps = False
        return ""

    def _line_feed(self) -> str:
        columns = self.columns
        if columns and self._row_start() + columns < len(self._cells) and not self._wraps:
            self._at += columns  # move down within a line that has several rows
            return ""
        return self._over()

    def _row_start(self) -> int:
        if not self.columns:
            return 0
        at = self._at - 1 if self._wraps else self._at
        return at - at % self.columns

    def _sequence(self, final: str, number: int) -> None:
        count = min(number or 1, 4096)
        if final == "K":
            self._erase(number)
        elif final == "J" and number == 0:
            del self._cells[self._at :]
        elif final == "D":
            self._at = max(self._at - count, self._row_start())
        elif final == "C":
            self._at += count
        elif final == "G":
            self._at = self._row_start() + count - 1
        elif final == "A" and self.columns:
            self._at = max(self._at - count * self.columns, self._at % self.columns)
        elif final == "B" and self.columns:
            below = max(len(self._cells) - 1 - self._row_start(), 0) // self.columns
            self._at += min(count, below) * self.columns
        elif final == "P":
            del self._cells[self._at : self._at + count]
        elif final == "@":
            self._cells[self._at : self._at] = " " * count
        elif final == "X":
            self._blank(self._at, self._at + count)
        else:
            return
        self._wraps = False

    def _erase(self, how: int) -> None:
        start = self._row_start()
        if how == 0:
            del self._cells[self._at :]
        elif how == 1:
            self._blank(start, self._at + 1)
        elif how == 2:
            del self._cells[start:]

    def _blank(self, start: int, end: int) -> None:
        end = min(end, len(self._cells))
        if start < end:
            self._cells[start:end] = " " * (end - start)


def _cells(text: str, before: list[str]) -> list[str]:
    cells: list[str] = []
    for char in text:
        if unicodedata.combining(char) or char in "\u200d\ufe0e\ufe0f":
            if cells:
                cells[-1] += char
            else:
                cells.append(char)  # kept as a cell, although it has no column of its own
        elif unicodedata.east_asian_width(char) in "WF":
            cells += (char, "")
        else:
            cells.append(char)
    return cells


class Colours:
    """Reduces terminal output, split anywhere, to printable characters, LF, tab and colours (SGR).

    Everything else is removed: OSC (clipboard, title, links), DCS, APC, PM, SOS, C1, cursor movement, what
    conceals text, and bidirectional or invisible characters.
    """

    def __init__(self) -> None:
        self._tokenizer = Tokenizer()

    def feed(self, data: bytes) -> str:
        return "".join([_shown(token) for token in self._tokenizer.feed(data)])

    def feed_text(self, text: str) -> str:
        """Do the same as `feed`, for text that is already decoded."""
        return "".join([_shown(token) for token in self._tokenizer.feed_text(text)])


def _shown(token: Token) -> str:
    if isinstance(token, Text):
        return token.text if token.text.isascii() else _HIDDEN.sub("", token.text)
    if isinstance(token, Control):
        return token.char if token.char in "\n\t" else ""
    if isinstance(token, Csi) and token.final == "m" and not token.prefix and not token.intermediates:
        is_colour = _COLOUR.fullmatch(token.parameters) and not _CONCEAL.search(token.parameters)
        return f"\x1b[{token.parameters}m" if is_colour else ""
    return ""
