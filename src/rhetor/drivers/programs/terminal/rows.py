"""The rows of a terminal's screen, and the operations that blank, shift, insert and delete parts of them.

It corrects pyte's screen: erasing sets only the background colour, deleting works above empty lines, and a
wide character that is cut in half becomes a blank. `Grid` draws the characters.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeAlias

import pyte
from pyte.screens import StaticDefaultDict, wcwidth

from rhetor.drivers.programs.terminal.cells import BLANK, Cell

MAX_HISTORY: Final = 2000
MAX_LOOKS: Final = 64

Row: TypeAlias = StaticDefaultDict[int, Cell]


class Rows(pyte.Screen):
    """The rows of both screens.

    `buffer`: the rows of the screen that is shown, sparse. `alternate`: the number of the mode that switched
    to the alternate screen, or 0 while the main one is shown. Lines that leave the main screen at its top go
    to `history` (the last 2,000) and are counted in `scrolled`.
    """

    buffer: dict[int, Row]  # type: ignore[assignment]  # our cells have more attributes than pyte's

    def __init__(self, rows: int, columns: int) -> None:
        self.scrolled = 0
        self.history: deque[str] = deque(maxlen=MAX_HISTORY)
        self.has_wide = False
        self.alternate = 0
        self._looks: dict[Cell, dict[str, Cell]] = {}
        super().__init__(columns, rows)

    @property
    def default_char(self) -> Any:
        return BLANK

    @property
    def attributes(self) -> Cell:
        """The current drawing attributes, as a cell whose `data` is a space."""
        return self._attributes

    @attributes.setter
    def attributes(self, value: Cell) -> None:
        self._attributes = value
        if len(self._looks) >= MAX_LOOKS:
            self._looks.clear()
        # the cells with these attributes, by character
        self._drawn = self._looks.setdefault(value, {})
        self._blank = BLANK if not value.bg else Cell(bg=value.bg)
        self.cursor.attrs = value  # type: ignore[assignment]  # the one that pyte's methods would draw with

    def line_text(self, y: int) -> str:
        """Return a row as text, without trailing blanks."""
        row = self.buffer.get(y)
        if not row:
            return ""
        return "".join([row[x].data for x in range(max(row) + 1)]).rstrip()

    def _shift_up(self, top: int, bottom: int, count: int, *, keep: bool = False) -> None:
        count = min(count, bottom - top + 1)
        rows = self.buffer
        if keep:
            self.history.extend(self.line_text(y) for y in range(top, top + count))
            self.scrolled += count
        for y in range(top, bottom + 1):
            row = rows.pop(y + count, None) if y + count <= bottom else None
            self._put(y, row)

    def _shift_down(self, top: int, bottom: int, count: int) -> None:
        count = min(count, bottom - top + 1)
        for y in range(bottom, top - 1, -1):
            row = self.buffer.pop(y - count, None) if y - count >= top else None
            self._put(y, row)

    def _put(self, y: int, row: Any) -> None:
        if row is not None:
            self.buffer[y] = row
        elif self._blank is BLANK:
            self.buffer.pop(y, None)
        else:
            self._fill(self.buffer[y], 0, self.columns)

    def _fill(self, row: Row, start: int, end: int) -> None:
        """Blank the columns from `start` to before `end`, in the background colour."""
        if self.has_wide:
            self._unpair(row, start, end)
        if self._blank is BLANK:
            if start == 0 and end >= self.columns:
                row.clear()
            else:
                for x in range(start, end):
                    row.pop(x, None)
        else:
            row.update(dict.fromkeys(range(start, end), self._blank))

    def _unpair(self, row: Row, start: int, end: int) -> None:
        """Blank the remaining halves of wide characters that are cut when the columns from `start` to before
        `end` are overwritten."""
        if start and row[start].data == "":
            row[start - 1] = row[start - 1]._replace(data=" ")
        if end < self.columns and row[end].data == "":
            row[end] = row[end]._replace(data=" ")

    def _rewrite(self, row: Row, cells: list[Cell]) -> None:
        """Replace the cells of a whole row. Halves of wide characters become blanks."""
        if self.has_wide:
            for x, cell in enumerate(cells):
                after = cells[x + 1].data if x + 1 < len(cells) else " "
                widow = cell.data == "" and (x == 0 or wcwidth(cells[x - 1].data[:1] or " ") != 2)
                if widow or (wcwidth(cell.data[:1] or " ") == 2 and after != ""):
                    cells[x] = cell._replace(data=" ")
        row.clear()
        row.update((x, cell) for x, cell in enumerate(cells) if cell != BLANK)

    def insert_characters(self, count: int | None = None) -> None:
        row, x = self.buffer[self.cursor.y], min(self.cursor.x, self.columns - 1)
        blanks = [self._blank] * min(count or 1, self.columns - x)
        cells = [row[column] for column in range(self.columns)]
        self._rewrite(row, (cells[:x] + blanks + cells[x:])[: self.columns])

    def delete_characters(self, count: int | None = None) -> None:
        row, x = self.buffer[self.cursor.y], min(self.cursor.x, self.columns - 1)
        count = min(count or 1, self.columns - x)
        cells = [row[column] for column in range(self.columns)]
        self._rewrite(row, cells[:x] + cells[x + count :] + [self._blank] * count)

    def erase_characters(self, count: int | None = None) -> None:
        x = min(self.cursor.x, self.columns - 1)
        self._fill(self.buffer[self.cursor.y], x, min(x + (count or 1), self.columns))

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        x = min(self.cursor.x, self.columns - 1)
        spans = {0: (x, self.columns), 1: (0, x + 1), 2: (0, self.columns)}
        if how in spans:
            self._fill(self.buffer[self.cursor.y], *spans[how])

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        whole = {0: range(self.cursor.y + 1, self.lines), 1: range(self.cursor.y), 2: range(self.lines)}
        for y in whole.get(how, ()):
            self._put(y, None)
        if how in (0, 1):
            self.erase_in_line(how)
