"""Reads QR codes as a phone does, with a library that has nothing to do with the one that makes them."""

from __future__ import annotations

from collections.abc import Sequence

import zxingcpp

SIZE = 4  # pixels of a module
LIGHT, DARK = 255, 0
_HALVES = {" ": "00", "▀": "10", "▄": "01", "█": "11"}  # where the foreground is 1


def read(modules: Sequence[str], dark: str = "1") -> str | None:
    """Return the text of a QR code, whose rows include the border; None if there is no code."""
    lines = [b"".join(bytes([DARK if m == dark else LIGHT]) * SIZE for m in row) for row in modules]
    image = memoryview(b"".join(line * SIZE for line in lines))
    found = zxingcpp.read_barcodes(image.cast("B", (len(lines) * SIZE, len(lines[0]))))
    return found[0].text if found else None


def with_border(modules: Sequence[str]) -> list[str]:
    """Return the rows with the border that they need."""
    side, empty = "0" * 4, ["0" * (len(modules[0]) + 8)] * 4
    return [*empty, *(f"{side}{row}{side}" for row in modules), *empty]


def modules_in(picture: str) -> list[str]:
    """Return the rows of the modules that lines of half blocks show. 1 is the colour of the foreground."""
    rows: list[str] = []
    for line in picture.splitlines():
        halves = [_HALVES[char] for char in line]
        rows += ["".join(each[0] for each in halves), "".join(each[1] for each in halves)]
    return rows
