"""QR codes on a terminal: two modules, one above the other, in each character."""

import os

from aish.output import STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_BORDER = 4  # modules; without it, not every reader finds the code
_LIGHT = "0"
# by the modules above and below, where the foreground is dark; and where it is light
_DARK_INK = {"00": " ", "10": "▀", "01": "▄", "11": "█"}
_LIGHT_INK = {"00": "█", "10": "▄", "01": "▀", "11": " "}
_BLACK_ON_WHITE, _RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"


def drawn(modules: "Sequence[str]") -> str:
    """Return the lines that show a QR code, given as rows in which 1 is a dark module; empty if it does not
    fit the terminal at stdout. With `NO_COLOR`, and if stdout is not a terminal, the background is expected
    to be dark."""
    width = len(modules[0]) + 2 * _BORDER
    is_terminal = os.isatty(STDOUT)
    if is_terminal and os.get_terminal_size(STDOUT).columns < width:
        return ""
    side, empty = _LIGHT * _BORDER, [_LIGHT * width] * _BORDER
    rows = [*empty, *(f"{side}{row}{side}" for row in modules), *empty]
    if len(rows) % 2:
        rows.append(_LIGHT * width)
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    if is_terminal and not os.environ.get("NO_COLOR"):
        lines = (f"{_BLACK_ON_WHITE}{_line(pair, _DARK_INK)}{_RESET}" for pair in pairs)
    else:
        lines = (_line(pair, _LIGHT_INK) for pair in pairs)
    return "".join(f"{line}\n" for line in lines)


def _line(rows: "tuple[str, str]", ink: "dict[str, str]") -> str:
    return "".join(ink[above + below] for above, below in zip(*rows, strict=True))
