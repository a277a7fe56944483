"""The screen of a program in a terminal: from the program's bytes to lines, a cursor and a snapshot.

This module splits the bytes into sequences, and the emulator carries them out. The emulator is imported with
the first screen, not with this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from rhetor.codec.ansi import Csi, String, Token, Tokenizer

MAX_TITLE = 256


class Cursor(NamedTuple):
    """The cursor's row and column, counted from 0. If the line is about to wrap, `col` is the last column."""

    row: int
    col: int
    visible: bool = True


class Screen:
    """A terminal of `rows` × `cols` (each 1 to 1,000) and what was written to it.

    Any chunking of the bytes gives the same state. Unknown sequences are ignored; no input raises an error.
    """

    def __init__(self, rows: int = 24, cols: int = 80) -> None:
        from rhetor.drivers.programs.terminal.emulator import Emulator

        self._tokenizer = Tokenizer()
        self._emulator = Emulator(_size(rows), _size(cols))
        self._placing = Placing()
        self._replies: list[bytes] = []
        self.title = ""

    @property
    def rows(self) -> int:
        return self._emulator.lines

    @property
    def cols(self) -> int:
        return self._emulator.columns

    @property
    def cursor(self) -> Cursor:
        at = self._emulator.cursor
        return Cursor(at.y, min(at.x, self.cols - 1), 25 in self._emulator.private)

    @property
    def alternate(self) -> bool:
        """Whether the program has switched to the alternate screen, as full-screen programs do."""
        return bool(self._emulator.alternate)

    @property
    def modes(self) -> frozenset[int]:
        """The private modes (DECSET) that are on, of those that matter to an attached terminal."""
        return frozenset(self._emulator.private)

    @property
    def bracketed_paste(self) -> bool:
        return 2004 in self._emulator.private

    @property
    def placed(self) -> int:
        """The number of sequences on the main screen that only programs that draw use (see `Placing`)."""
        return self._placing.count

    @property
    def scrolled(self) -> int:
        """The number of lines that have left the main screen at its top."""
        return self._emulator.scrolled

    def feed(self, data: bytes) -> None:
        take = self._emulator.take
        for token in self._tokenizer.feed(data):
            if isinstance(token, String):
                self._string(token)
            else:
                take(token)
                if isinstance(token, Csi):
                    self._noted(token)

    def resize(self, rows: int, cols: int) -> None:
        self._emulator.resize(_size(rows), _size(cols))

    def text(self) -> list[str]:
        """Return the rows from the top, without trailing blanks."""
        return [self._emulator.line_text(y) for y in range(self.rows)]

    def history(self, since: int) -> Sequence[str]:
        """Return the lines that left the main screen since `scrolled` was `since`, at most the last 2,000."""
        kept = self._emulator.history
        return list(islice(kept, max(len(kept) - (self.scrolled - since), 0), None))

    def snapshot(self) -> bytes:
        """Return bytes that bring a fresh terminal of the same size into this state: both screens,
        attributes, margins, tab stops, the saved cursors, modes, and the cursor's position."""
        from rhetor.drivers.programs.terminal.snapshot import snapshot

        return snapshot(self._emulator)

    def state(self) -> tuple[object, ...]:
        """Return all that a snapshot restores, as values that can be compared."""
        term = self._emulator
        rows = [
            [[buffer[y][x] for x in range(self.cols)] if y in buffer else [] for y in range(self.rows)]
            for buffer in (term.buffer, term.other)
        ]
        shown = [
            [line if any(cell != term.default_char for cell in line) else [] for line in part]
            for part in rows
        ]
        place = (term.cursor.x, term.cursor.y, term.attributes, term.margins, frozenset(term.tabstops))
        modes = (frozenset(term.private), frozenset(term.mode & {4, 20}), term.keyboard, term.other_keys)
        sets = (tuple(term.sets), term.charset, tuple(term.saved), term.alternate, term.cursor_style)
        return (shown, place, modes, sets)

    def take_replies(self) -> bytes:
        """Return the terminal's answers to the program's queries since the last call (about 4 KiB at most).

        Programs wait for these answers, so write them to the program if no real terminal is attached.
        """
        replies, self._replies = b"".join(self._replies), []
        return replies

    def _string(self, token: String) -> None:
        code, _, rest = token.text.partition(";")
        if token.kind != "OSC":
            return
        if code in ("0", "2"):
            self.title = "".join(char for char in rest[:MAX_TITLE] if char.isprintable())
        elif code in ("10", "11") and rest == "?":
            colour = "ffff/ffff/ffff" if code == "10" else "0000/0000/0000"
            self._reply(f"\x1b]{code};rgb:{colour}\x1b\\")

    def _noted(self, token: Csi) -> None:
        if not self._emulator.alternate:
            self._placing.take(token)
        if token.final in "cnu":
            self._answer(token)

    def _answer(self, token: Token) -> None:
        at = self.cursor
        match token:
            case Csi("", "" | "0", "", "c"):
                self._reply("\x1b[?62;22c")
            case Csi(">", "" | "0", "", "c"):
                self._reply("\x1b[>1;10;0c")
            case Csi("", "5", "", "n"):
                self._reply("\x1b[0n")
            case Csi("", "6", "", "n"):
                self._reply(f"\x1b[{at.row + 1};{at.col + 1}R")
            case Csi("?", "", "", "u"):
                self._reply(f"\x1b[?{self._emulator.keyboard[-1] if self._emulator.keyboard else 0}u")

    def _reply(self, text: str) -> None:
        if sum(map(len, self._replies)) < 4096:
            self._replies.append(text.encode())


def _size(count: int) -> int:
    return max(1, min(count, 1000))


class Placing:
    """Counts sequences that only programs that draw their screen use.

    These place the cursor, set a scroll region, or move the cursor up after erasing a line (a redraw).
    """

    def __init__(self) -> None:
        self.count = 0
        self._erased = False

    def take(self, token: Csi) -> None:
        if token.prefix:
            return
        if token.final in "Hfr" or (token.final == "A" and self._erased):
            self.count += 1
        self._erased = token.final == "K" and token.parameters == "2"
