"""What may reach a terminal, and how things look there. Loaded only where there is one, or a table to show.

The text of models and programs is not trusted: an escape sequence could retitle the window, write the
clipboard or answer for the user. Colours (SGR) pass, every other sequence and control is taken out.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_ESC, _BEL, _ST, _CSI = "\x1b", "\x07", "\x9c", "\x9b"
_CANCELS = "\x18\x1a"
_STRING_OPENERS_7BIT = "]PX^_"  # OSC, DCS, SOS, PM, APC
_STRING_OPENERS_8BIT = "\x9d\x90\x98\x9e\x9f"
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_MAX_COLOUR_LENGTH = 64

DIM, RESET = "\x1b[2m", "\x1b[0m"


class Filter:
    """Text in any pieces → what a terminal may be given.

    It keeps printable text, newline, tab and colours. An unfinished sequence waits for its rest; one that is
    not closed ends at the end of its line, so that it cannot swallow the rest of an answer.
    """

    def __init__(self, *, dim: bool = False, colours: bool | None = None) -> None:
        self._base = DIM if dim else ""
        self._colours = not os.environ.get("NO_COLOR") if colours is None else colours
        self._take = self._ground
        self._pending = ""
        self._coloured = False

    def feed(self, text: str) -> str:
        if self._take == self._ground and text.isprintable() and not _has_bidi(text):
            return self._dimmed(text)
        kept = "".join([self._take(char) for char in text])
        return self._dimmed(kept)

    def end(self) -> str:
        """What puts the terminal back to its own colours; the filter starts anew."""
        coloured, self._coloured = self._coloured, False
        self._take, self._pending = self._ground, ""
        return RESET if coloured else ""

    def _dimmed(self, text: str) -> str:
        if not text or not self._base or not self._colours or self._coloured:
            return text
        self._coloured = True
        return self._base + text

    def _ground(self, char: str) -> str:
        if char == _ESC:
            self._take = self._escape
        elif char == _CSI:
            self._take, self._pending = self._control, ""
        elif char in _STRING_OPENERS_8BIT:
            self._take = self._string
        elif char in "\n\t" or not (char < " " or "\x7f" <= char <= "\x9f" or char in _BIDI):
            return char
        return ""

    def _escape(self, char: str) -> str:
        """After ESC: what kind of sequence it is. Intermediates go on, any other character ends it."""
        if char == "[":
            self._take, self._pending = self._control, ""
        elif char in _STRING_OPENERS_7BIT:
            self._take = self._string
        elif not " " <= char <= "/":
            return self._over() if "0" <= char <= "~" else self._again(char)
        return ""

    def _control(self, char: str) -> str:
        """Within CSI: parameters, then a final byte; `m` with numbers only is a colour."""
        if "@" <= char <= "~":
            shown = self._colour() if char == "m" else ""
            return shown + self._over()
        if not " " <= char <= "?":
            return self._again(char)
        self._pending = (self._pending + char)[: _MAX_COLOUR_LENGTH + 1]
        return ""

    def _colour(self) -> str:
        numbers = self._pending.replace(";", "").replace(":", "")
        is_plain = not numbers or (numbers.isascii() and numbers.isdigit())
        if not self._colours or not is_plain or len(self._pending) > _MAX_COLOUR_LENGTH:
            return ""
        self._coloured = True
        again = self._base if self._pending in ("", "0") else ""
        return f"{_ESC}[{self._pending}m{again}"

    def _string(self, char: str) -> str:
        """Within OSC and its like: all is dropped up to BEL, ST, or what breaks it off."""
        if char in (_BEL, _ST):
            return self._over()
        if char in _CANCELS or char in (_ESC, "\n"):
            return self._again(char)
        return ""

    def _over(self) -> str:
        self._take = self._ground
        return ""

    def _again(self, char: str) -> str:
        """The sequence is broken off by `char`, which counts as text or opens another one."""
        self._take = self._ground
        return self._ground(char)


def cleaned(text: str) -> str:
    """A whole text as it may be shown, without colours."""
    return Filter(colours=False).feed(text)


def dimmed(text: str) -> str:
    """A heading of ours for a terminal."""
    return text if os.environ.get("NO_COLOR") else f"{DIM}{text}{RESET}"


def heading(peer: str) -> str:
    """How an answer is attributed: `[From Apollo]`."""
    return f"[From {peer[:1].upper()}{peer[1:]}]"


def status(peer: "Mapping[str, Any]") -> str:
    """The word for how a peer is."""
    known = str(peer.get("status") or "unknown")
    return "not installed" if known == "missing" else known


def table(rows: "Sequence[Sequence[str]]") -> str:
    """Rows with their columns one below the other; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ((cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _has_bidi(text: str) -> bool:
    return not text.isascii() and any(mark in text for mark in _BIDI)
