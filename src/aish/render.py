"""Text for a terminal: filtering and formatting it. Imported only for a terminal or a table.

The text of models and programs is not trusted. An escape sequence could change the window's title, write the
clipboard, or answer for the user. Colours (SGR) pass unless they hide text; every other sequence, and every
control or invisible character, is removed.
"""

import os
import re

from aish.colours import Colours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ESC, _BEL, _ST, _CSI = "\x1b", "\x07", "\x9c", "\x9b"
_CANCELS = "\x18\x1a"
_STRING_OPENERS_7BIT = "]PX^_"  # OSC, DCS, SOS, PM, APC
_STRING_OPENERS_8BIT = "\x9d\x90\x98\x9e\x9f"
# bidirectional controls, and characters that take no place or look like nothing. The joiners that emoji and
# some scripts need are not among them.
_HIDDEN = re.compile(
    "[\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# further characters that look like nothing, but belong to the text of some scripts: variation selectors and
# joiners
_UNSEEN = re.compile("[\u034f\u180b-\u180d\u180f\u2800\ufe00-\ufe0f]")
_IN_JSON = re.compile("[\x7f-\x9f]|" + _HIDDEN.pattern)
_MAX_COLOUR_LENGTH = 64

DIM, RESET = "\x1b[2m", "\x1b[0m"


class Filter:
    """Removes everything that must not reach a terminal from text that arrives in pieces.

    It keeps printable text, newlines, tabs and colours. An incomplete sequence is held until its rest
    arrives. One that is never closed ends at the end of its line, so that it cannot hide the rest of an
    answer.
    """

    def __init__(self, *, dim: bool = False, colours: bool | None = None) -> None:
        self._base = DIM if dim else ""
        self._colours = not os.environ.get("NO_COLOR") if colours is None else colours
        self._take = self._ground
        self._pending = ""
        self._coloured = False
        self._shades = Colours()

    def feed(self, text: str) -> str:
        if not text.isascii():
            text = _HIDDEN.sub("", text)
        if self._take == self._ground and text.isprintable():
            return self._dimmed(text)
        kept = "".join([self._take(char) for char in text])
        return self._dimmed(kept)

    def end(self) -> str:
        """Reset the filter, and return the text that resets the terminal's colours, if it is needed."""
        coloured, self._coloured = self._coloured, False
        self._take, self._pending, self._shades = self._ground, "", Colours()
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
        elif char in "\n\t" or not (char < " " or "\x7f" <= char <= "\x9f"):
            return char
        return ""

    def _escape(self, char: str) -> str:
        """Handle the character after ESC, which determines the kind of the sequence."""
        if char == "[":
            self._take, self._pending = self._control, ""
        elif char in _STRING_OPENERS_7BIT:
            self._take = self._string
        elif not " " <= char <= "/":
            return self._over() if "0" <= char <= "~" else self._again(char)
        return ""

    def _control(self, char: str) -> str:
        """Handle a character of a CSI sequence. If its final character is `m`, it may be a colour."""
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
        if (visible := self._shades.visible(self._pending)) is None:
            return ""
        self._coloured = True
        again = self._base if self._pending in ("", "0") else ""
        return f"{_ESC}[{visible}m{again}"

    def _string(self, char: str) -> str:
        """Drop a character of an OSC or similar string. It ends at BEL, ST or a character that cancels it."""
        if char in (_BEL, _ST):
            return self._over()
        if char in _CANCELS or char in (_ESC, "\n"):
            return self._again(char)
        return ""

    def _over(self) -> str:
        self._take = self._ground
        return ""

    def _again(self, char: str) -> str:
        """End the sequence that `char` cancels, and handle `char` as text or as the start of another one."""
        self._take = self._ground
        return self._ground(char)


def cleaned(text: str) -> str:
    """Return a complete text without colours and without anything that must not reach a terminal."""
    return Filter(colours=False).feed(text)


def coloured(text: str) -> str:
    """Do the same, but keep colours."""
    kept = Filter()
    return kept.feed(text) + kept.end()


def as_ascii_where_hidden(text: str) -> str:
    """Return JSON with escapes for the characters that must not reach a terminal. Its value is the same."""
    return text if text.isascii() and "\x7f" not in text else _IN_JSON.sub(_escape_of, text)


def _escape_of(found: "re.Match[str]") -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def revealed(text: str) -> str:
    """Return a text with marks such as `\\u200b` for the characters that cannot be seen, except newlines."""
    return "".join(_mark(char) if _is_hidden(char) else char for char in text)


def one_line(value: object) -> str:
    """Return a value on one line, without anything that could move a terminal's cursor."""
    return " ".join(cleaned(str(value)).split())


def local_time(at: object, *, seconds: bool = True) -> str:
    """Return an RFC 3339 time as local time: `2026-11-01 14:30:05`. Other text is returned unchanged."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        return str(at)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def dimmed(text: str) -> str:
    """Return the text dimmed, or unchanged if `NO_COLOR` is set."""
    return text if os.environ.get("NO_COLOR") else f"{DIM}{text}{RESET}"


def heading(peer: str) -> str:
    """Return the heading of a peer's answer: `[From Apollo]`."""
    name = cleaned(peer)
    return f"[From {name[:1].upper()}{name[1:]}]"


def status(peer: "Mapping[str, Any]") -> str:
    """Return the word for a peer's status."""
    known = str(peer.get("status") or "unknown")
    if known == "blocked" and str(peer.get("evidence")).startswith("paused "):
        return "paused"
    return "not installed" if known == "missing" else known


def _is_hidden(char: str) -> bool:
    if char == "\n":
        return False
    return not char.isprintable() or bool(_HIDDEN.match(char) or _UNSEEN.match(char))


def _mark(char: str) -> str:
    return char.encode("unicode_escape").decode()
