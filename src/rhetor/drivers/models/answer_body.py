"""The body of an answer, read piece by piece: a stream of events, or one whole document.

Some servers ignore that a stream was requested, and some relays answer with a web page. Both are read to the
end and become one event.
"""

from __future__ import annotations

from rhetor.codec.sse import ServerSentEvent, SSEDecoder
from rhetor.errors import TooLarge

WHOLE = "whole"  # the name of the event that has a whole body
MAX_WHOLE = 1 << 24
_EXCERPT = 2048
_FIELDS = (b"data:", b"event:", b":", b"id:", b"retry:")
_BLANK = b"\xef\xbb\xbf \t\r\n"


class AnswerBody:
    """Turns the pieces of a body into events. `lines` grows with every complete line of a stream, and with
    every piece of a whole body. `excerpt` is the beginning of a body without events."""

    def __init__(self) -> None:
        self.excerpt = b""
        self.whole: bytearray | None = None
        self._decoder = SSEDecoder()
        self._begun = False
        self._has_events = False
        self._pieces = 0

    @property
    def lines(self) -> int:
        return self._decoder.lines + self._pieces

    @property
    def is_stream(self) -> bool:
        """Whether the body begins as a stream of events does."""
        head = self.excerpt.lstrip(_BLANK)
        return self._has_events or any(head.startswith(f) or f.startswith(head) for f in _FIELDS)

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that the piece completes.

        Raises:
            TooLarge: an event or a whole body is too large.
        """
        if not self._begun:
            piece = self._begin(piece)
        if self.whole is not None:
            return self._hold(piece)
        events = self._decoder.feed(piece)
        if not self._has_events:
            self._has_events = bool(events)
            self.excerpt = b"" if events else (self.excerpt + piece)[:_EXCERPT]
        return events

    def end(self) -> list[ServerSentEvent]:
        """Return the last event: a whole body, or an event without the blank line that ends it."""
        if self.whole is not None:
            return [ServerSentEvent(WHOLE, bytes(self.whole))]
        return self._decoder.rest()

    def _begin(self, piece: bytes) -> bytes:
        """Decide what the body is, from its first character that is not blank."""
        first = (self.excerpt + piece).lstrip(_BLANK)
        if not first:
            self.excerpt = (self.excerpt + piece)[:_EXCERPT]
            return piece
        self._begun = True
        if first[:1] in (b"{", b"[", b"<"):
            self.whole, self.excerpt = bytearray(), b""
            return first
        return piece

    def _hold(self, piece: bytes) -> list[ServerSentEvent]:
        assert self.whole is not None
        self.whole += piece
        self._pieces += 1
        if len(self.whole) > MAX_WHOLE:
            raise TooLarge("the answer", MAX_WHOLE)
        return []
