"""Draws characters on a terminal's rows, at the cursor, and moves the cursor within margins and tab stops.

It corrects pyte's screen: wide characters at the edge, combining characters, a line that is about to wrap, a
cursor outside of the margins, and the sequences that scroll and repeat.
"""

from __future__ import annotations

from typing import Final

from pyte import modes as mo
from pyte.charsets import VT100_MAP
from pyte.screens import Margins, wcwidth

from rhetor.drivers.programs.terminal.cells import Cell
from rhetor.drivers.programs.terminal.rows import Rows

MAX_COMBINING: Final = 8


class Grid(Rows):
    """Rows with a cursor. `sets`: the names of the character sets G0 and G1, `B` for text and `0` for line
    drawing. The cursor's column is `columns` if the line is about to wrap."""

    def __init__(self, rows: int, columns: int) -> None:
        self.sets = ["B", "B"]
        self._last = ""  # what REP repeats
        super().__init__(rows, columns)

    def draw(self, data: str) -> None:
        if self.sets[self.charset] == "0":
            data = data.translate(VT100_MAP)
        if data.isascii() and mo.IRM not in self.mode and mo.DECAWM in self.mode:
            self._draw_run(data)
        else:
            for char in data:
                self._draw_char(char)

    def _draw_run(self, data: str) -> None:
        """Draw characters of one column each, a row at a time."""
        cursor, columns, drawn = self.cursor, self.columns, self._drawn
        at = 0
        while at < len(data):
            if cursor.x == columns:
                self._wrap()
            row = self.buffer[cursor.y]
            piece = data[at : at + columns - cursor.x]
            end = cursor.x + len(piece)
            if self.has_wide:
                self._unpair(row, cursor.x, end)
            row.update(zip(range(cursor.x, end), [drawn.get(c) or self._cell(c) for c in piece], strict=True))
            cursor.x = end
            at += len(piece)
        self._last = data[-1]

    def _draw_char(self, char: str) -> None:
        width = wcwidth(char)
        if width < 1 or width > self.columns:
            if width == 0:
                self._combine(char)
            return
        cursor = self.cursor
        if cursor.x + width > self.columns:
            if mo.DECAWM in self.mode:
                self._wrap()
            else:
                cursor.x = self.columns - width
        if mo.IRM in self.mode:
            self.insert_characters(width)
        row = self.buffer[cursor.y]
        self.has_wide = self.has_wide or width == 2
        if self.has_wide:
            self._unpair(row, cursor.x, cursor.x + width)
        row[cursor.x] = self._cell(char)
        if width == 2:
            row[cursor.x + 1] = self._cell("")
        cursor.x += width
        if mo.DECAWM not in self.mode:
            cursor.x = min(cursor.x, self.columns - 1)
        self._last = char

    def _cell(self, char: str) -> Cell:
        cell = self._attributes._replace(data=char)
        if len(self._drawn) < 512:
            self._drawn[char] = cell
        return cell

    def _wrap(self) -> None:
        self.cursor.x = 0
        self.index()

    def _combine(self, char: str) -> None:
        """Add a combining character to the character before the cursor, on the same row."""
        row, x = self.buffer[self.cursor.y], self.cursor.x - 1
        if x >= 1 and row[x].data == "":
            x -= 1
        if x >= 0 and len(row[x].data) < MAX_COMBINING:
            row[x] = row[x]._replace(data=row[x].data + char)

    def repeat(self, count: int) -> None:
        """Draw the last drawn character again (REP)."""
        if self._last:
            self.draw(self._last * min(count or 1, self.columns * self.lines))

    def linefeed(self) -> None:
        self.index()
        if mo.LNM in self.mode:
            self.carriage_return()

    def _next_line(self) -> None:
        self.carriage_return()
        self.index()

    def cursor_back(self, count: int | None = None) -> None:
        self.cursor.x = min(self.cursor.x, self.columns - 1) - (count or 1)
        self.ensure_hbounds()

    def tab(self) -> None:
        self._tab_forward(1)

    def _tab_forward(self, count: int) -> None:
        stops = [stop for stop in sorted(self.tabstops) if self.cursor.x < stop < self.columns]
        wanted = count or 1
        self.cursor.x = stops[wanted - 1] if wanted <= len(stops) else self.columns - 1

    def _tab_back(self, count: int) -> None:
        stops = [stop for stop in sorted(self.tabstops, reverse=True) if stop < self.cursor.x]
        wanted = count or 1
        self.cursor.x = stops[wanted - 1] if wanted <= len(stops) else 0

    def set_tab_stop(self) -> None:
        self.tabstops.add(min(self.cursor.x, self.columns - 1))

    def cursor_up(self, count: int | None = None) -> None:
        top = self.margins.top if self.margins and self.cursor.y >= self.margins.top else 0
        self.cursor.y = max(self.cursor.y - (count or 1), top)

    def cursor_down(self, count: int | None = None) -> None:
        bottom = self.lines - 1
        if self.margins and self.cursor.y <= self.margins.bottom:
            bottom = self.margins.bottom
        self.cursor.y = min(self.cursor.y + (count or 1), bottom)

    def cursor_to_line(self, line: int | None = None) -> None:
        self.cursor_position(line, min(self.cursor.x, self.columns - 1) + 1)

    def cursor_position(self, line: int | None = None, column: int | None = None) -> None:
        top = self.margins.top if self.margins and mo.DECOM in self.mode else 0
        self.cursor.x, self.cursor.y = (column or 1) - 1, (line or 1) - 1 + top
        self.ensure_hbounds()
        self.ensure_vbounds()

    def _scroll_region(self, top: int, bottom: int) -> None:
        region = Margins((top or 1) - 1, min(bottom or self.lines, self.lines) - 1)
        if region.top < region.bottom:
            self.margins = None if region == (0, self.lines - 1) else region
            self.cursor_position()

    def index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom:
            self._shift_up(top, bottom, 1, keep=not self.alternate and top == 0)
        elif self.cursor.y < self.lines - 1:
            self.cursor.y += 1

    def reverse_index(self) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == top:
            self._shift_down(top, bottom, 1)
        elif self.cursor.y:
            self.cursor.y -= 1

    def scroll_up(self, count: int) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        self._shift_up(top, bottom, count or 1, keep=not self.alternate and top == 0)

    def scroll_down(self, count: int) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        self._shift_down(top, bottom, count or 1)

    def insert_lines(self, count: int | None = None) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if top <= self.cursor.y <= bottom:
            self._shift_down(self.cursor.y, bottom, count or 1)
            self.carriage_return()

    def delete_lines(self, count: int | None = None) -> None:
        top, bottom = self.margins or (0, self.lines - 1)
        if top <= self.cursor.y <= bottom:
            self._shift_up(self.cursor.y, bottom, count or 1)
            self.carriage_return()

    def alignment_display(self) -> None:
        self.margins = None
        for y in range(self.lines):
            self._rewrite(self.buffer[y], [Cell("E")] * self.columns)
        self.cursor_position()
