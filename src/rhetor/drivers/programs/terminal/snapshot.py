"""Encodes the state of an emulated terminal as bytes that bring a real terminal into the same state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rhetor.drivers.programs.terminal.cells import BLANK, Cell, sgr

if TYPE_CHECKING:
    from rhetor.drivers.programs.terminal.emulator import Emulator, Saved


def snapshot(terminal: Emulator) -> bytes:
    """Return the bytes for a fresh terminal of the same size.

    The order matters: the rows are drawn before modes change how drawing works, and margins and origin mode
    are set before the cursor's position, because they move the cursor.
    """
    shown, hidden = terminal.buffer, terminal.other
    parts = ["\x1b[0m"]
    if terminal.alternate:
        parts += _painted(hidden, terminal.columns)
        parts += _store(terminal.saved[0], terminal.alternate != 1049)
        parts += [f"\x1b[?{terminal.alternate}h\x1b[?6l\x1b(B\x1b)B\x0f\x1b[0m\x1b[H\x1b[2J"]
    parts += _painted(shown, terminal.columns)
    parts += _tab_stops(terminal)
    parts += _store(terminal.saved[bool(terminal.alternate)], True)
    parts += _placed(terminal)
    parts += [
        sgr(terminal.attributes),
        *_sets(terminal.sets[0], terminal.sets[1], terminal.charset),
        *_modes(terminal),
    ]
    return "".join(parts).encode("utf-8", "replace")


def _painted(rows: Mapping[int, Mapping[int, Any]], columns: int) -> Iterator[str]:
    for y in sorted(rows):
        row = rows[y]
        cells = [row[x] for x in range(min(max(row, default=-1) + 1, columns))]
        while cells and cells[-1] == BLANK:
            cells.pop()
        if cells:
            yield f"\x1b[{y + 1};1H"
            yield from _run(cells)
            yield "\x1b[0m"


def _run(cells: list[Cell]) -> Iterator[str]:
    before = BLANK
    for cell in cells:
        look = cell._replace(data=" ")
        if cell.data and look != before:
            yield sgr(look)
            before = look
        yield cell.data


def _store(saved: Saved | None, keep: bool) -> Iterator[str]:
    """Yield sequences that set the cursor's saved state and, with `keep`, save it and return to the defaults.

    No margins are set at this point, so in origin mode rows are counted from the top of the screen.
    """
    if saved is None:
        return
    yield "\x1b[?6h" if saved.origin else "\x1b[?6l"
    yield f"\x1b[{saved.y + 1};{saved.x + 1}H{sgr(saved.attributes)}"
    yield from _sets(*saved.charsets)
    if keep:
        yield "\x1b7\x1b[?6l\x1b[0m\x1b(B\x1b)B\x0f"


def _tab_stops(terminal: Emulator) -> Iterator[str]:
    if terminal.tabstops != set(range(8, terminal.columns, 8)):
        yield "\x1b[3g"
        for stop in sorted(terminal.tabstops):
            yield f"\x1b[1;{stop + 1}H\x1bH"


def _placed(terminal: Emulator) -> Iterator[str]:
    top = 0
    if terminal.margins:
        yield f"\x1b[{terminal.margins.top + 1};{terminal.margins.bottom + 1}r"
    if 6 in terminal.private:
        yield "\x1b[?6h"
        top = terminal.margins.top if terminal.margins else 0
    x, y = terminal.cursor.x, terminal.cursor.y
    if x < terminal.columns:
        yield f"\x1b[{y - top + 1};{x + 1}H"
        return
    # the line is about to wrap: the cursor gets into this state only if the last character is drawn again
    row = terminal.buffer[y]
    last = terminal.columns - (2 if row[terminal.columns - 1].data == "" else 1)
    yield f"\x1b[{y - top + 1};{last + 1}H"
    yield from _run([row[last]])


def _sets(g0: str, g1: str, shift: int) -> Iterator[str]:
    yield f"\x1b({g0}\x1b){g1}" + ("\x0e" if shift else "\x0f")


def _modes(terminal: Emulator) -> Iterator[str]:
    from rhetor.drivers.programs.terminal.emulator import FIRST_MODES

    for number in sorted(terminal.private - FIRST_MODES - {6, 66}):
        yield f"\x1b[?{number}h"
    for number in sorted(FIRST_MODES - terminal.private):
        yield f"\x1b[?{number}l"
    if 66 in terminal.private:
        yield "\x1b="
    for number in sorted(number for number in (4, 20) if number in terminal.mode):
        yield f"\x1b[{number}h"
    if terminal.cursor_style:
        yield f"\x1b[{terminal.cursor_style} q"
    if terminal.other_keys:
        yield f"\x1b[>4;{terminal.other_keys}m"
    for flags in terminal.keyboard:
        yield f"\x1b[>{flags}u"
