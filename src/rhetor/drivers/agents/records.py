"""Reads an agent's lines as JSON objects, and their fields without relying on their types: a field that is
missing or has another type is empty. This module knows no agent, and never raises."""

from __future__ import annotations

import base64
import re
from hashlib import blake2b
from typing import Any

import msgspec

from rhetor.domain.output import Record

MAX_COUNT = (1 << 63) - 1

# finds a lone surrogate that is written as an escape, as programs do that cut a text between two UTF-16
# units, although UTF-8 cannot encode it; an escaped backslash is skipped, so what follows it is read as text
_ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)


def object_of(line: bytes) -> dict[str, Any] | None:
    """Return the line's JSON object, with lone surrogates replaced, or None if the line is not an object."""
    found = _decoded(line)
    if found is None and b"\\u" in line:
        return _decoded(_ESCAPES.sub(_without_lone, line))
    return found


def record_of(line: bytes, found: dict[str, Any] | None) -> Record:
    """Return the record of a line: the object `found`, or the line's bytes if it is None."""
    return Record(raw=base64.b64encode(line).decode()) if found is None else Record(found)


def text(of: Any, key: str) -> str:
    value = of.get(key) if isinstance(of, dict) else None
    return value if isinstance(value, str) else ""


def table(of: Any, key: str) -> dict[str, Any]:
    value = of.get(key) if isinstance(of, dict) else None
    return value if isinstance(value, dict) else {}


def rows(of: Any, key: str) -> list[dict[str, Any]]:
    """Return the objects in a list, without its other elements."""
    value = of.get(key) if isinstance(of, dict) else None
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def count(of: Any, key: str) -> int:
    """Return an integer from 0 to 2^63 - 1; 0 if the value is anything else."""
    value = of.get(key) if isinstance(of, dict) else None
    return value if type(value) is int and 0 <= value <= MAX_COUNT else 0


class StreamedText:
    """Remembers the pieces of a text that were output, so that they are not output again with the complete
    text. Keeps only their length and a hash."""

    def __init__(self) -> None:
        self._characters = 0
        self._hash = blake2b(digest_size=16)

    def add(self, piece: str) -> None:
        self._characters += len(piece)
        self._hash.update(piece.encode())

    def rest(self, whole: str) -> str:
        """Return the part of `whole` that follows the pieces, or all of it if it does not begin with them."""
        beginning = blake2b(whole[: self._characters].encode(), digest_size=16)
        return whole[self._characters :] if beginning.digest() == self._hash.digest() else whole


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _without_lone(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape[1] else escape[0]
