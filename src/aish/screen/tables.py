"""Tables and long lines for stdout. On a terminal, no line is wider than the screen, and nothing is lost."""

import os
import re

from aish.screen.cells import cut, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_STDOUT = 1
_LEAST_LAST = 24  # cells of the last column, so that it is worth its place beside the others
_BELOW = 4  # blanks before what stands below a row
_GAP = "  "
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_SECOND_COLUMN = re.compile(r"(\s*\S+(?: \S+)*  +)\S")


def stdout_columns() -> int | None:
    """Return the width of the terminal at stdout, or None if stdout is no terminal."""
    try:
        return os.get_terminal_size(_STDOUT).columns or None
    except OSError:
        return None


def table(rows: "Sequence[Sequence[str]]", columns: int | None = None) -> str:
    """Return the rows as text with aligned columns. The first row is the heading.

    If the table is wider than `columns`, the last column is wrapped, or stands below the others, or each row
    becomes a block of lines.
    """
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    whole = sum(widths) + len(_GAP) * (len(widths) - 1)
    others = whole - widths[-1]
    if columns is None or whole <= columns:
        return _joined(_aligned(row, widths) for row in rows)
    if columns - others >= _LEAST_LAST:
        return _joined(line for row in rows for line in _beside(row, widths, others, columns))
    if others - len(_GAP) <= columns:
        first = _aligned(rows[0][:-1], widths)
        return _joined([first, *(line for row in rows[1:] for line in _below(row, widths, columns))])
    return _joined(line for row in rows[1:] for line in _block(rows[0], row, columns))


def wrapped(text: str, columns: int | None, indent: int | None = None) -> str:
    """Return the text with its long lines wrapped between words. What follows has `indent` blanks; without
    `indent`, it stands under the second column of a line that has two, and otherwise under its text."""
    if columns is None:
        return text
    blanks = None if indent is None else " " * (indent if indent <= columns // 2 else len(_GAP))
    lines = (_wrapped(line, columns, blanks or _hanging(line, columns)) for line in text.split("\n"))
    return "\n".join(piece for pieces in lines for piece in pieces)


def _joined(lines: "Iterable[str]") -> str:
    return "\n".join(line.rstrip() for line in lines)


def _aligned(row: "Sequence[str]", widths: "Sequence[int]") -> str:
    return _GAP.join(cell + " " * (size - width(cell)) for cell, size in zip(row, widths, strict=False))


def _beside(row: "Sequence[str]", widths: "Sequence[int]", others: int, columns: int) -> "Iterator[str]":
    begin = _aligned(row[:-1], widths) + _GAP
    for piece in _wrapped(row[-1], columns - others, ""):
        yield begin + piece
        begin = " " * others


def _below(row: "Sequence[str]", widths: "Sequence[int]", columns: int) -> "Iterator[str]":
    yield _aligned(row[:-1], widths)
    if row[-1]:
        blanks = " " * _BELOW
        yield from _wrapped(blanks + row[-1], columns, blanks)


def _block(heading: "Sequence[str]", row: "Sequence[str]", columns: int) -> "Iterator[str]":
    names = [name.lower() for name in heading]
    size = max(map(width, names[1:]), default=0)
    yield from _wrapped(row[0] or "(no name)", columns, _GAP)
    for name, cell in zip(names[1:], row[1:], strict=True):
        if cell:
            yield from _wrapped(f"{_GAP}{name:<{size}} {cell}", columns, " " * min(size + 3, columns // 2))


def _hanging(line: str, columns: int) -> str:
    found = _SECOND_COLUMN.match(line)
    size = width(found[1]) if found else columns
    if size > columns // 2:
        size = len(line) - len(line.lstrip()) + len(_GAP)
    return " " * size if size <= columns // 2 else _GAP


def _wrapped(line: str, columns: int, hanging: str) -> "Iterator[str]":
    """Yield the line in pieces of at most so many cells. A word is cut only if it is longer than a piece."""
    if _shown_width(line) <= columns:
        yield line
        return
    indent = line[: len(line) - len(line.lstrip())]
    begin = indent if len(indent) <= columns // 2 else _GAP
    piece, is_empty = begin, True
    for word in re.findall(r"\S+\s*", line[len(indent) :]):
        fits_alone = _shown_width(hanging + word) <= columns
        if not is_empty and fits_alone and _shown_width(piece + word) > columns:
            yield piece.rstrip()
            piece = hanging
        while _shown_width(piece + word) > columns:
            part = cut(word, columns - width(piece))
            if not part and piece == hanging:  # the screen is narrower than a character
                break
            yield (piece + part).rstrip()
            piece, word = hanging, word[len(part) :]
        piece, is_empty = piece + word, False
    if piece.strip():
        yield piece.rstrip()


def _shown_width(text: str) -> int:
    return width(_COLOUR.sub("", text).rstrip())
