"""Decodes UTF-8 from a byte stream (RFC 3629). Invalid bytes are passed on as bytes.

This module decodes code points and changes none: NUL, CR LF and a byte order mark pass unchanged.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import NamedTuple

# "surrogateescape" decodes an invalid byte to one of these; valid UTF-8 never does (RFC 3629, section 3)
_ESCAPED = re.compile("[\udc80-\udcff]+")


class Invalid(NamedTuple):
    """Bytes that are not UTF-8, at the place where they were."""

    data: bytes


class Decoder:
    """Turns bytes, split anywhere, into text and `Invalid` runs, in order. No byte is lost or changed."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def held(self) -> int:
        """The number of bytes (at most 3) of an incomplete sequence at the end."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[str | Invalid]:
        """Return the text and the invalid runs that `data` completes. Within one call, adjacent items differ
        in kind; `joined` merges across calls."""
        whole = self._pending + data if self._pending else data
        text, used = codecs.utf_8_decode(whole, "surrogateescape", False)
        self._pending = whole[used:]
        return _parted(text)

    def finish(self) -> list[str | Invalid]:
        """End the stream: return an incomplete sequence as invalid. The decoder can then be used again."""
        rest, self._pending = self._pending, b""
        return [Invalid(rest)] if rest else []


def joined(parts: Iterable[str | Invalid]) -> list[str | Invalid]:
    """Return the items with adjacent ones of a kind merged, so the result does not depend on how the bytes
    were split."""
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
