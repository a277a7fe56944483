"""UTF-8 from bytes, however they were cut (RFC 3629). What is no UTF-8 is handed on as the bytes it was.

It knows code points and nothing of lines or of what a terminal makes of them: NUL, CR LF and a byte order
mark pass as they are.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import NamedTuple

# "surrogateescape" gives an invalid byte as one of these; well-formed UTF-8 cannot (RFC 3629, section 3)
_ESCAPED = re.compile("[\udc80-\udcff]+")


class Invalid(NamedTuple):
    """Bytes that are no UTF-8, in the place where they stood."""

    data: bytes


class Decoder:
    """Takes bytes in any pieces and gives text and `Invalid` runs in order; no byte is lost or altered."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def held(self) -> int:
        """Bytes (at most 3) of a sequence at the end that is not complete yet."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[str | Invalid]:
        """What `data` completes. Neighbours differ in kind within one call; `joined` does it across calls."""
        whole = self._pending + data if self._pending else data
        text, used = codecs.utf_8_decode(whole, "surrogateescape", False)
        self._pending = whole[used:]
        return _parted(text)

    def finish(self) -> list[str | Invalid]:
        """The end of the stream: what is held is invalid. The decoder then starts anew."""
        rest, self._pending = self._pending, b""
        return [Invalid(rest)] if rest else []


def joined(parts: Iterable[str | Invalid]) -> list[str | Invalid]:
    """The same with neighbours of one kind made one: it does not depend on how the bytes were cut."""
    whole: list[str | Invalid] = []
    for part in parts:
        last = whole[-1] if whole else None
        if isinstance(last, str) and isinstance(part, str):
            whole[-1] = last + part
        elif isinstance(last, Invalid) and isinstance(part, Invalid):
            whole[-1] = Invalid(last.data + part.data)
        elif part:
            whole.append(part)
    return whole


def _parted(text: str) -> list[str | Invalid]:
    if text.isascii() or not _ESCAPED.search(text):
        return [text] if text else []
    parts: list[str | Invalid] = []
    at = 0
    for run in _ESCAPED.finditer(text):
        if run.start() > at:
            parts.append(text[at : run.start()])
        parts.append(Invalid(run.group().encode("utf-8", "surrogateescape")))
        at = run.end()
    if at < len(text):
        parts.append(text[at:])
    return parts
