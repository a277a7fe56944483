"""Splits a byte stream into lines. Memory is bounded, and nothing is dropped silently."""

from __future__ import annotations

from msgspec import Struct

MAX_LINE_BYTES = 16 << 20


class Cut(Struct, frozen=True):
    """A line that was too long: its beginning, and its size in bytes."""

    start: bytes
    bytes: int


class Lines:
    """Turns bytes, split anywhere, into lines. A line ends with LF, which is removed; a CR before it stays.

    A line of more than `max_bytes` becomes a `Cut` with its first KiB; the next line is read normally. At
    most `max_bytes` and one piece are held.
    """

    KEPT_OF_CUT = 1024

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._start = b""  # of a line that is too long; the rest is only counted

    @property
    def held(self) -> int:
        """The number of bytes of the incomplete line."""
        return self._size

    def feed(self, data: bytes) -> list[bytes | Cut]:
        """Return the lines that the piece completes."""
        if b"\n" not in data:
            self._hold(data)
            return []
        first, *rest = data.split(b"\n")
        self._hold(first)
        found = [self._line(), *map(self._checked, rest[:-1])]
        self._hold(rest[-1])
        return found

    def finish(self) -> list[bytes | Cut]:
        """Return the last line, if no newline ended it."""
        return [self._line()] if self._size else []

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        if self._start:
            return
        self._pieces.append(data)
        if self._size > self._max:
            self._start = b"".join(self._pieces)[: self.KEPT_OF_CUT]
            self._pieces.clear()

    def _checked(self, line: bytes) -> bytes | Cut:
        return line if len(line) <= self._max else Cut(line[: self.KEPT_OF_CUT], len(line))

    def _line(self) -> bytes | Cut:
        line: bytes | Cut = Cut(self._start, self._size) if self._start else b"".join(self._pieces)
        self._pieces, self._size, self._start = [], 0, b""
        return line
