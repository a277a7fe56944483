"""Checks JSON from clients in pieces, before it is decoded.

Decoding is one step, which blocks the event loop: a few milliseconds for 8 MiB of text, but many times as
long for as many bytes of small values. So their number has a limit. To count them takes longer than to skip
them, but it is done piece by piece, and other tasks run in between.
"""

from __future__ import annotations

import codecs
from typing import Final

from rhetor.errors import Malformed, RhetorError, TooManyValues

MOST_VALUES: Final = 600_000  # more than any result of a tool has
PIECE_BYTES: Final = 64 << 10


class IncomingJson:
    """The pieces of one JSON text. `most`: how many members, items, objects and lists it may have; commas and
    opening brackets outside of texts are counted, so a list within a list may count twice.

    `fault`: the first error; what follows it is not checked.
    """

    __slots__ = ("_decoder", "_found", "_held", "_in_text", "_most", "fault")

    def __init__(self, most: int = MOST_VALUES) -> None:
        self.fault: RhetorError | None = None
        self._most = most
        self._found = 0
        self._in_text = False
        self._held = b""
        self._decoder: codecs.IncrementalDecoder | None = None  # most texts are not decoded here

    def feed(self, piece: bytes | bytearray) -> str:
        """Check the next piece, and return its text. The end of a piece may come with the next one."""
        if self.fault is not None:
            return ""
        self._found += self._count(piece)
        if self._found > self._most:
            self.fault = TooManyValues(self._most)
        return self._decoded(piece)

    def end(self) -> None:
        """Check that nothing is wrong with the whole text.

        Raises:
            Malformed: it is not UTF-8.
            TooManyValues: it has too many values.
        """
        self._decoded(b"", is_last=True)
        if self.fault is not None:
            raise self.fault

    def _decoded(self, piece: bytes | bytearray, *, is_last: bool = False) -> str:
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            return self._decoder.decode(piece, is_last)
        except UnicodeDecodeError as error:
            self.fault = self.fault or Malformed(f"the text is not UTF-8: {error.reason}")
            return ""

    def _count(self, piece: bytes | bytearray) -> int:
        """Return how many commas and opening brackets of the piece are not in a text."""
        whole = self._held + piece
        backslashes = len(whole) - len(whole.rstrip(b"\\"))
        end = len(whole) - backslashes % 2  # an escape is not cut in half
        self._held, whole = whole[end:], whole[:end]
        parts = whole.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[self._in_text :: 2])
        self._in_text ^= len(parts) % 2 == 0
        return sum(map(outside.count, (b",", b"[", b"{")))
