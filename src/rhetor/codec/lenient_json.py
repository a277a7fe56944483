"""Decodes JSON as servers really send it: with bytes that are not UTF-8, and with characters in two halves.

A strict decoder comes first and is much faster. This one is for what it rejects.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

# `surrogateescape` decodes an invalid byte to U+DC80–U+DCFF; an escape such as \ud83d is half a character
_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_BYTES = re.compile("[\udc80-\udcff]+")
_LAST_BYTES = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+\\Z")
_HALF = re.compile("[\ud800-\udbff]\\Z")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def decode(data: bytes) -> Any:
    """Return the JSON value. Its strings may have surrogates, which `Mender` turns into text.

    Raises:
        ValueError: the data is not JSON, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data.decode("utf-8", "surrogateescape"), strict=False, parse_int=_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


class Mender:
    """Turns strings with surrogates, split anywhere, into text. What stays incomplete becomes U+FFFD."""

    def __init__(self) -> None:
        self._held = ""

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """Return the text that is complete. The rest, at most four bytes of a character, is held back."""
        if not self._held and (text.isascii() or not _SURROGATE.search(text)):
            return text
        text, self._held = self._split(self._held + text)
        return _mended(text)

    def end(self) -> str:
        """Return what was held back."""
        text, self._held = self._held, ""
        return _mended(text)

    @staticmethod
    def _split(text: str) -> tuple[str, str]:
        """Return the text, and an incomplete character at its end."""
        if half := _HALF.search(text):
            return text[: half.start()], half.group()
        if not (run := _LAST_BYTES.search(text)):
            return text, ""
        raw = run.group().encode("utf-8", "surrogateescape")
        for size in range(min(3, len(raw)), 0, -1):
            if _is_start(raw[-size:]):
                return text[: len(text) - size], text[len(text) - size :]
        return text, ""


def _is_start(raw: bytes) -> bool:
    """Return whether more bytes could make these a character."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start == 0 and error.reason == "unexpected end of data"
    return False


def _mended(text: str) -> str:
    text = _PAIR.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)
    text = _BYTES.sub(
        lambda run: run.group().encode("utf-8", "surrogateescape").decode("utf-8", "replace"), text
    )
    return _SURROGATE.sub(_REPLACEMENT, text)
