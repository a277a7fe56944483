"""The width of a text on a terminal, in cells, and how it is cut to a width."""

from unicodedata import category, east_asian_width

_WIDE = "WF"
_NO_WIDTH = ("Mn", "Me", "Cf")


def width(text: str) -> int:
    """Return the number of cells that a line takes. It must have no escape sequences."""
    return len(text) if text.isascii() else sum(map(_width_of, text))


def cut(text: str, columns: int) -> str:
    """Return the beginning of a line that has at most so many cells."""
    if text.isascii():
        return text[:columns]
    taken = 0
    for at, char in enumerate(text):
        taken += _width_of(char)
        if taken > columns:
            return text[:at]
    return text


def fit(text: str, columns: int) -> str:
    """Return a line that has at most so many cells. If something was cut off, it ends with `…`."""
    if width(text) <= columns:
        return text
    return f"{cut(text, columns - 1)}…" if columns > 0 else ""


def _width_of(char: str) -> int:
    if category(char) in _NO_WIDTH:
        return 0
    return 2 if east_asian_width(char) in _WIDE else 1
