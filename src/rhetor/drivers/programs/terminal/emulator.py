"""A terminal without a window: carries out the sequences of a stream on the terminal's state.

It knows the sequences and the modes; `Grid` draws. It corrects pyte's terminal: there are two screens, each
with a saved cursor of its own, private forms of known sequences, and keyboard modes. No input raises an
error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace
from pyte import modes as mo
from pyte.charsets import LAT1_MAP, VT100_MAP
from pyte.screens import Char, Cursor

from rhetor.codec.ansi import Control, Csi, Escape, Text, Token
from rhetor.drivers.programs.terminal.cells import BLANK, Cell, rendition
from rhetor.drivers.programs.terminal.grid import Grid
from rhetor.drivers.programs.terminal.rows import Row

MAX_KEYBOARD_STACK: Final = 8

# private modes that an attached terminal must have as the program set them; 7 and 25 are on at first
KNOWN_MODES: Final = frozenset(
    (1, 5, 6, 7, 9, 12, 25, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 2004)
)
ALTERNATES: Final = frozenset((47, 1047, 1049))
FIRST_MODES: Final = frozenset((7, 25))


class Saved(msgspec.Struct, frozen=True):
    """What DECSC saves: the cursor's position, attributes, character sets and origin mode."""

    x: int
    y: int
    attributes: Cell
    charsets: tuple[str, str, int]
    origin: bool


class Emulator(Grid):
    """The terminal's state, under pyte's names. `private`: the modes of `CSI ? h` that are on. `other`: the
    rows of the screen that is not shown. `saved`: the saved cursors of the main and the alternate screen."""

    def __init__(self, rows: int, columns: int) -> None:
        self.keyboard: tuple[int, ...] = ()
        super().__init__(rows, columns)
        self._controls: dict[str, Callable[[], None]] = {
            "\b": self.backspace,
            "\t": self.tab,
            "\n": self.linefeed,
            "\v": self.linefeed,
            "\f": self.linefeed,
            "\r": self.carriage_return,
            "\x0e": self.shift_out,
            "\x0f": self.shift_in,
        }
        self._escapes: dict[str, Callable[[], None]] = {
            "7": self.save_cursor,
            "8": self.restore_cursor,
            "D": self.index,
            "E": self._next_line,
            "H": self.set_tab_stop,
            "M": self.reverse_index,
            "c": self.reset,
            "=": lambda: self._private(66, True),
            ">": lambda: self._private(66, False),
        }
        self._sequences: dict[str, Callable[[int], None]] = {
            "@": self.insert_characters,
            "A": self.cursor_up,
            "B": self.cursor_down,
            "C": self.cursor_forward,
            "D": self.cursor_back,
            "E": self.cursor_down1,
            "F": self.cursor_up1,
            "G": self.cursor_to_column,
            "I": self._tab_forward,
            "J": self.erase_in_display,
            "K": self.erase_in_line,
            "L": self.insert_lines,
            "M": self.delete_lines,
            "P": self.delete_characters,
            "S": self.scroll_up,
            "T": self.scroll_down,
            "X": self.erase_characters,
            "Z": self._tab_back,
            "`": self.cursor_to_column,
            "a": self.cursor_forward,
            "b": self.repeat,
            "d": self.cursor_to_line,
            "e": self.cursor_down,
            "g": self.clear_tab_stop,
        }

    def take(self, token: Token) -> None:
        if isinstance(token, Text):
            self.draw(token.text)
        elif isinstance(token, Csi):
            self._csi(token)
        elif isinstance(token, Control):
            if act := self._controls.get(token.char):
                act()
        elif isinstance(token, Escape):
            self._escape(token)

    def _escape(self, token: Escape) -> None:
        if not token.intermediates:
            if act := self._escapes.get(token.final):
                act()
        elif token.intermediates in "()":
            # only line drawing differs from Unicode text; the old national sets are treated as ASCII
            self._designate("()".index(token.intermediates), "0" if token.final == "0" else "B")
        elif token == ("#", "8"):
            self.alignment_display()

    def _csi(self, token: Csi) -> None:
        first = token.numbers()[0]
        if not token.prefix and not token.intermediates:
            if act := self._sequences.get(token.final):
                act(first)
            else:
                self._plain_csi(token)
        elif token.prefix == "?" and token.final in "hl" and not token.intermediates:
            for number in token.numbers():
                self._private(number, token.final == "h")
        elif token.prefix == "?" and token.final in "JK":
            (self.erase_in_line if token.final == "K" else self.erase_in_display)(first)
        elif token.intermediates == " " and token.final == "q" and not token.prefix:
            self.cursor_style = first if first <= 6 else 0
        elif token.intermediates == "!" and token.final == "p":
            self._soft_reset()
        elif token.prefix in "<=>" and not token.intermediates:
            self._keyboard(token)

    def _plain_csi(self, token: Csi) -> None:
        numbers = token.numbers()
        second = numbers[1] if len(numbers) > 1 else 0
        if token.final in "Hf":
            self.cursor_position(numbers[0], second)
        elif token.final == "m":
            self.attributes = rendition(self.attributes, token.parameters)
        elif token.final == "r":
            self._scroll_region(numbers[0], second)
        elif token.final in "hl":
            change = self.mode.add if token.final == "h" else self.mode.discard
            for number in numbers:
                if number in (mo.IRM, mo.LNM):
                    change(number)
        elif token.final == "s":
            self.save_cursor()
        elif token.final == "u":
            self.restore_cursor()

    def _keyboard(self, token: Csi) -> None:
        """Carry out a sequence of the kitty keyboard protocol's stack or of xterm's modifyOtherKeys."""
        first, *rest = token.numbers()
        if token.final == "u" and token.prefix == ">":
            self.keyboard = (*self.keyboard, first)[-MAX_KEYBOARD_STACK:]
        elif token.final == "u" and token.prefix == "<":
            self.keyboard = self.keyboard[: max(len(self.keyboard) - (first or 1), 0)]
        elif token.final == "u" and token.prefix == "=" and self.keyboard:
            self.keyboard = (*self.keyboard[:-1], first)
        elif token.final == "m" and token.prefix == ">" and first == 4:
            self.other_keys = min(rest[0], 3) if rest else 0

    def reset(self) -> None:
        super().reset()
        self.cursor = Cursor(0, 0, Char(" "))
        self.attributes = BLANK
        self.private = set(FIRST_MODES)
        self.alternate = 0
        self.other = self._no_rows()
        self.saved: list[Saved | None] = [None, None]
        self.sets = ["B", "B"]
        self._use_sets()
        self.keyboard = ()
        self.other_keys = 0
        self.cursor_style = 0
        self._last = ""

    def _soft_reset(self) -> None:
        self.private = (self.private - {1, 6, 66}) | FIRST_MODES
        self.mode = {mo.DECAWM, mo.DECTCEM}
        self.margins = None
        self.saved[bool(self.alternate)] = None
        self.sets, self.charset = ["B", "B"], 0
        self._use_sets()
        self.attributes = BLANK

    def _no_rows(self) -> dict[int, Row]:
        return type(self.buffer)(self.buffer.default_factory)  # type: ignore[attr-defined]

    def _private(self, number: int, on: bool) -> None:
        if number in ALTERNATES:
            self._switch_screen(number, on)
        elif number == 1048:
            (self.save_cursor if on else self.restore_cursor)()
        elif number in KNOWN_MODES:
            (self.private.add if on else self.private.discard)(number)
            if number in (6, 7):
                (self.mode.add if on else self.mode.discard)(number << 5)
            if number == 6:
                self.cursor_position()
            elif number == 7 and not on:
                self.cursor.x = min(self.cursor.x, self.columns - 1)

    def _switch_screen(self, number: int, on: bool) -> None:
        if on and not self.alternate:
            if number == 1049:
                self.save_cursor()
            self.alternate = number
            self.buffer, self.other = self.other, self.buffer
            self.buffer.clear()
        elif not on and self.alternate:
            self.alternate = 0
            self.buffer, self.other = self.other, self._no_rows()
            self.saved[1] = None
            if number == 1049:
                self.restore_cursor()

    def save_cursor(self) -> None:
        x = min(self.cursor.x, self.columns - 1)
        charsets = (self.sets[0], self.sets[1], self.charset)
        self.saved[bool(self.alternate)] = Saved(
            x, self.cursor.y, self.attributes, charsets, 6 in self.private
        )

    def restore_cursor(self) -> None:
        saved = self.saved[bool(self.alternate)] or Saved(0, 0, BLANK, ("B", "B", 0), False)
        (self.private.add if saved.origin else self.private.discard)(6)
        (self.mode.add if saved.origin else self.mode.discard)(mo.DECOM)
        self.sets, self.charset = list(saved.charsets[:2]), saved.charsets[2]
        self._use_sets()
        self.attributes = saved.attributes
        self.cursor.x, self.cursor.y = saved.x, saved.y
        self.ensure_hbounds()
        self.ensure_vbounds()

    def _designate(self, which: int, name: str) -> None:
        self.sets[which] = name
        self._use_sets()

    def _use_sets(self) -> None:
        maps = {"B": LAT1_MAP, "0": VT100_MAP}
        self.g0_charset, self.g1_charset = maps[self.sets[0]], maps[self.sets[1]]

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size. Rows are removed below the cursor first, then at the top; columns, at the right.

        Lines are not wrapped again, because programs redraw when their terminal's size changes.
        """
        lines, columns = max(lines or self.lines, 1), max(columns or self.columns, 1)
        over = max(self.cursor.y - lines + 1, 0)
        self.margins = None
        if over:
            self._shift_up(0, self.lines - 1, over, keep=not self.alternate)
            self.cursor.y -= over
        for rows in (self.buffer, self.other):
            for y in [y for y in rows if y >= lines]:
                del rows[y]
            for row in rows.values():
                self._rewrite(row, [row[x] for x in range(columns)])
        self.tabstops = {stop for stop in self.tabstops if stop < columns}
        self.tabstops.update(range((self.columns + 7) // 8 * 8, columns, 8))
        self.lines, self.columns = lines, columns
        self.cursor.x = min(self.cursor.x, columns - 1)
        self.ensure_vbounds()
        for which, saved in enumerate(self.saved):
            if saved is not None:
                place = min(saved.x, columns - 1), min(saved.y, lines - 1)
                self.saved[which] = replace(saved, x=place[0], y=place[1])
