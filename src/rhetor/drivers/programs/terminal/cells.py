"""The cells of a terminal's screen, and the sequences that set their attributes (SGR, ECMA-48 8.3.117)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple


class Cell(NamedTuple):
    """One column. `data`: a character with its combining characters; "" in the second column of a wide one.

    `fg`, `bg` and `line_colour` are the SGR parameters that select the colours ("" is the default).
    `underscore` is the style of the underline (0 none, 1 single … 5 dashed).
    """

    data: str = " "
    fg: str = ""
    bg: str = ""
    bold: bool = False
    faint: bool = False
    italics: bool = False
    underscore: int = 0
    blink: bool = False
    reverse: bool = False
    conceal: bool = False
    strikethrough: bool = False
    overline: bool = False
    line_colour: str = ""


BLANK: Final = Cell()

_ON: Final[dict[int, dict[str, Any]]] = {
    1: {"bold": True},
    2: {"faint": True},
    3: {"italics": True},
    4: {"underscore": 1},
    5: {"blink": True},
    6: {"blink": True},
    7: {"reverse": True},
    8: {"conceal": True},
    9: {"strikethrough": True},
    21: {"underscore": 2},
    22: {"bold": False, "faint": False},
    23: {"italics": False},
    24: {"underscore": 0},
    25: {"blink": False},
    27: {"reverse": False},
    28: {"conceal": False},
    29: {"strikethrough": False},
    39: {"fg": ""},
    49: {"bg": ""},
    53: {"overline": True},
    55: {"overline": False},
    59: {"line_colour": ""},
}
_FLAGS: Final = {
    "bold": "1",
    "faint": "2",
    "italics": "3",
    "blink": "5",
    "reverse": "7",
    "conceal": "8",
    "strikethrough": "9",
    "overline": "53",
}
_COLOURED: Final = {38: "fg", 48: "bg", 58: "line_colour"}


@lru_cache(1024)
def rendition(attributes: Cell, parameters: str) -> Cell:
    """Return the attributes after `CSI parameters m`. Unknown or incomplete parameters change nothing."""
    fields = parameters.split(";", 64)[:64]
    at = 0
    while at < len(fields):
        numbers = [int(part[:6]) if part else 0 for part in fields[at].split(":")[:8]]
        code = numbers[0]
        at += 1
        if code == 0:
            attributes = BLANK
        elif code == 4 and len(numbers) > 1:
            attributes = attributes._replace(underscore=min(numbers[1], 5))
        elif code in _COLOURED:
            if len(numbers) > 1:
                colour = _with_subparameters(numbers)
            else:
                colour, used = _colour(
                    [int(field[:6]) if field.isdigit() else 0 for field in fields[at : at + 4]]
                )
                at += used
            if colour:
                changed: dict[str, Any] = {_COLOURED[code]: f"{code};{colour}"}
                attributes = attributes._replace(**changed)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            attributes = attributes._replace(fg=str(code))
        elif 40 <= code <= 47 or 100 <= code <= 107:
            attributes = attributes._replace(bg=str(code))
        elif code in _ON:
            attributes = attributes._replace(**_ON[code])
    return attributes


def sgr(attributes: Cell) -> str:
    """Return the sequence that sets exactly these attributes, whatever was set before."""
    codes = ["0", *(code for name, code in _FLAGS.items() if getattr(attributes, name))]
    if attributes.underscore:
        codes.append("4" if attributes.underscore == 1 else f"4:{attributes.underscore}")
    if attributes.line_colour:
        # with semicolons, some terminals take the numbers for attributes; sub-parameters work everywhere
        codes.append(attributes.line_colour.replace(";2;", ";2;;").replace(";", ":"))
    codes += [colour for colour in (attributes.fg, attributes.bg) if colour]
    return f"\x1b[{';'.join(codes)}m"


def _with_subparameters(numbers: Sequence[int]) -> str:
    """Return the colour of `38:2::R:G:B`, with or (as many programs write it) without the field for the
    colour space, or of `38:5:N`."""
    if numbers[1] == 2 and len(numbers) > 5:
        return _colour([2, *numbers[3:6]])[0]
    return _colour(numbers[1:])[0]


def _colour(fields: Sequence[int]) -> tuple[str, int]:
    """Return the colour from the fields that follow 38, 48 or 58, and how many of them belong to it."""
    if len(fields) >= 2 and fields[0] == 5:
        return (f"5;{fields[1]}" if fields[1] < 256 else ""), 2
    if len(fields) >= 4 and fields[0] == 2:
        red, green, blue = fields[1:4]
        return (f"2;{red};{green};{blue}" if max(fields[1:4]) < 256 else ""), 4
    return "", 1 if fields else 0
