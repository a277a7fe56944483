"""Bytes ↔ lines, in whatever pieces they come: bounded, nothing dropped in silence."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Cut:
    """A line that was longer than is taken whole: its beginning, and how many bytes it had in all."""

    start: bytes
    bytes: int


class Lines:
    """Lines end with a newline, which is not part of them; a carriage return before it stays.

    A line of more than `max_bytes` is a `Cut` with its first KiB; the next one is read as always. What is
    kept is never more than `max_bytes` and one piece.
    """

    KEPT_OF_CUT = 1024

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._start = b""  # of a line that is too long; what follows of it is only counted

    @property
    def held(self) -> int:
        """Bytes of a line that is not whole yet."""
        return self._size

    def feed(self, data: bytes) -> list[bytes | Cut]:
        """The lines that are whole now."""
        if b"\n" not in data:
            self._hold(data)
            return []
        first, *rest = data.split(b"\n")
        self._hold(first)
        found = [self._line(), *map(self._checked, rest[:-1])]
        self._hold(rest[-1])
        return found

    def finish(self) -> list[bytes | Cut]:
        """The last line, where no newline ends it."""
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
