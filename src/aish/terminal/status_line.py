"""Keeps the last row of the terminal for a status line while a program's bytes pass.

The program's terminal has one row less than this one. Its bytes pass unchanged, except for what would reach
the last row: the scroll region ends above it, and the cursor is placed above it. What erases the last row, or
resets the region, is followed by what restores both.

The line is drawn only between two sequences, so that it never divides one, or a character. Drawing saves and
restores the cursor with the terminal's only place for that, so it happens only when the line was erased.

This module does not know where the cursor is. If a program has set a region of its own and moves down below
it, the cursor may have reached the last row: then `is_doubtful` is set, and the screen must be drawn again.
"""

import re

from aish.screen.cells import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_ROWS = 4  # of a terminal that has a status line
_MAX_HELD_BYTES = 256
_MOST = 99_999  # rows or columns
# a control sequence, a string such as a title, any other escape sequence, or what begins one
_SEQUENCE = re.compile(
    rb"\x1b\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~])"
    rb"|(?P<string>\x1b[\]P^_X])"
    rb"|\x1b(?P<escape>[ -/]*[0-Z\\`-~])"
    rb"|(?P<begun>\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z)"
)
_STRING_END = re.compile(rb"\x07|\x1b\\|[\x18\x1a]|\x1b(?!\\)(?=.)", re.DOTALL)
_CHARACTER_BEGUN = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
_DOWN = re.compile(rb"[\n\x0b\x0c]")
_SCREENS = {b"47", b"1047", b"1049"}  # private modes: another screen
_SAVE, _RESTORE = b"\x1b7\x1b[?6l", b"\x1b8"  # the origin mode is saved and restored with the cursor


def rows_above(rows: int) -> int:
    """Return how many rows a program has in a terminal of so many rows."""
    return rows - 1 if rows >= LEAST_ROWS else rows


class StatusLine:
    """The last row of a terminal. `text`: what it shows. `rows`, `columns`: the size of the terminal."""

    def __init__(self, text: str, rows: int, columns: int) -> None:
        self._text = text
        self._held = b""
        self._in_string = False
        self._region: tuple[int, int] | None = None  # that the program has set
        self._program_rows = 1000
        self._is_stale = False  # the region must be set again
        self._is_below = False  # the cursor was placed below the region that the program has set
        self._last = b""  # the last bytes that were written
        self.is_doubtful = False
        self.resize(rows, columns)

    @property
    def is_shown(self) -> bool:
        """Whether the terminal has room for it."""
        return self._rows >= LEAST_ROWS

    @property
    def rows(self) -> int:
        """The rows that the program has."""
        return rows_above(self._rows)

    def resize(self, rows: int, columns: int) -> None:
        self._rows, self._columns = rows, columns
        self._region = None

    def has_program_rows(self, rows: int) -> None:
        """Note the rows of the program's terminal, which may be smaller than this one."""
        if rows != self._program_rows:
            self._program_rows, self._region, self._is_stale = rows, None, True

    def begin(self) -> bytes:
        """Return the bytes that reserve the row and draw the line. They move the cursor to the first row."""
        self._held, self._in_string, self._region, self._last = b"", False, None, b""
        self._is_stale = self._is_below = self.is_doubtful = False
        return self._margins() + self.drawn() if self.is_shown else b""

    def refreshed(self) -> bytes:
        """Return the bytes that reserve the row again, and draw the line; empty if that is not necessary, or
        if the bytes so far end within a sequence or a character."""
        if not (self._is_stale and self.is_shown and self._is_between):
            return b""
        self._is_stale = False
        return self._kept(self._margins()) + self.drawn()

    def erased(self) -> bytes:
        """Return the bytes that erase the line. They move the cursor."""
        return b"\x1b[r\x1b[%d;1H\x1b[0m\x1b[K" % self._rows if self.is_shown else b""

    @property
    def _is_between(self) -> bool:
        """Whether the bytes so far end neither within a sequence nor within a character."""
        begun = _CHARACTER_BEGUN.search(self._last) is not None
        return not (self._in_string or self._held or begun)

    def drawn(self) -> bytes:
        """Return the bytes that draw the line. They keep the cursor."""
        line = cut(self._text, self._columns - 1).encode("utf-8", "replace")
        return _SAVE + b"\x1b[%d;1H\x1b[0;7m%b\x1b[0m\x1b[K" % (self._rows, line) + _RESTORE

    def passed(self, data: bytes) -> bytes:
        """Return the bytes to write for these bytes of the program."""
        if not self.is_shown:
            return data
        before = self.refreshed()
        data, self._held = self._held + data, b""
        passed = b"".join(self._parts(data))
        self._last = (self._last + passed)[-4:]
        return before + passed

    def _parts(self, data: bytes) -> "Iterator[bytes]":
        at = 0
        while at < len(data):
            if self._in_string:
                end = _STRING_END.search(data, at)
                if end is None:
                    # the first byte of the end of a string may be the last one here
                    keep = 1 if data[-1:] == b"\x1b" else 0
                    self._held = data[len(data) - keep :] if keep else b""
                    yield data[at : len(data) - keep]
                    return
                self._in_string = False
                yield data[at : end.end()]
                at = end.end()
                continue
            found = _SEQUENCE.search(data, at)
            text = data[at:] if found is None else data[at : found.start()]
            if self._is_below and (_DOWN.search(text) or len(text) >= self._columns):
                self.is_doubtful = True
            yield text
            if found is None:
                return
            at = found.end()
            if found["begun"] is not None and len(found["begun"]) <= _MAX_HELD_BYTES:
                self._held = found["begun"]
                return
            yield self._sequence(found)

    def _sequence(self, found: "re.Match[bytes]") -> bytes:
        if found["string"] is not None:
            self._in_string = True
            return found[0]
        if found["final"] is not None and not found["between"]:
            return self._control(found[0], found["parameters"], found["final"])
        if found[0] == b"\x1b[!p":  # a soft reset
            self._region = None
            return found[0] + self._kept(self._margins())
        if found["escape"] in (b"D", b"E") and self._is_below:
            self.is_doubtful = True
        if found["escape"] in (
            b"c",
            b"#8",
        ):  # a reset, or a screen full of E: the cursor is at its first place
            self._region = None
            return found[0] + self._margins() + self.drawn()
        return found[0]

    def _control(self, whole: bytes, parameters: bytes, final: bytes) -> bytes:
        if final == b"r" and parameters[:1] != b"?":
            top, bottom, *_ = [*_numbers(parameters), 0, 0]
            bottom = min(bottom or self._bottom, self._bottom)
            if (top or 1) < bottom:
                self._region, self._is_below = (top or 1, bottom), False
            return b"\x1b[%d;%dr" % (top or 1, bottom)
        if final in b"Hf" and parameters[:1] != b"?":
            row, *column = _numbers(parameters) or [1]
            self._is_below = self._region is not None and self._region[1] < min(row, self._bottom)
            if row > self.rows:
                return b"\x1b[%b%b" % (b";".join(b"%d" % n for n in (self.rows, *column[:1])), final)
        elif final == b"d":
            row = (_numbers(parameters) or [1])[0]
            self._is_below = self._region is not None and self._region[1] < min(row, self._bottom)
            return b"\x1b[%dd" % self.rows if row > self.rows else whole
        elif final in b"BEe" and self._is_below:
            self.is_doubtful = True
        elif final == b"J" and parameters.lstrip(b"?") in (b"", b"0", b"2"):
            return whole + self.drawn()
        elif final in b"hl" and parameters[:1] == b"?":
            modes = set(parameters[1:].split(b";"))
            if modes & _SCREENS:
                return whole + self._kept(self._margins()) + self.drawn()
            if b"3" in modes:  # 132 columns: it clears the screen and resets the margins
                self._region = None
                return whole + self._margins() + self.drawn()
        return whole

    @property
    def _bottom(self) -> int:
        return min(self.rows, self._program_rows)

    def _margins(self) -> bytes:
        return b"\x1b[%d;%dr" % (self._region or (1, self._bottom))

    @staticmethod
    def _kept(data: bytes) -> bytes:
        """Return the bytes, which move the cursor, with what keeps it."""
        return _SAVE + data + _RESTORE


def _numbers(parameters: bytes) -> "list[int]":
    """Return the parameters of a sequence; a missing one is 0, and a very long one is `_MOST`."""
    parts = [part.partition(b":")[0] for part in parameters.split(b";")] if parameters else []
    return [min(int(part.lstrip(b"0")[:9] or b"0"), _MOST) if part.isdigit() else 0 for part in parts]
