"""Decodes server-sent events (WHATWG HTML, 9.2 "Server-sent events").

This module does not interpret the data. It does not reconnect, and ignores `retry`.
"""

from __future__ import annotations

from typing import NamedTuple

from rhetor.errors import TooLarge

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event. `name`: "message" if the stream gives none. `data`: bytes, its lines joined by LF."""

    name: str
    data: bytes
    id: str = ""


class SSEDecoder:
    """Turns bytes, split anywhere, into complete events.

    `feed` drops an event that the end of the stream cuts off, as the standard requires; `rest` returns it.
    `lines` counts every complete line, including comments, which some providers send as a sign of life while
    the model thinks.
    """

    def __init__(self, max_event_bytes: int = 1 << 24) -> None:
        self.lines = 0
        self._max = max_event_bytes
        self._tail: list[bytes] = []  # the pieces of a line that has not ended
        self._held = 0  # bytes in the tail and in the data of the current event
        self._after_cr = False
        self._data: list[bytes] = []
        self._name = b""
        self._id = ""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that `chunk` completes, in order.

        Raises:
            TooLarge: an event is larger than `max_event_bytes`. The decoder must not be used again.
        """
        if self._after_cr and chunk:
            # CR LF is one line ending, even if the two are in different pieces
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            self._hold(chunk)
            return []
        whole = b"".join((*self._tail, chunk[:end]))
        self._after_cr = whole.endswith(b"\r")
        self._held -= sum(map(len, self._tail))
        self._tail.clear()
        events = self._take_lines(whole.splitlines())
        self._hold(chunk[end:])
        return events

    def rest(self) -> list[ServerSentEvent]:
        """End the stream: return the event that its end cut off, which may be incomplete, if there is one."""
        if self._tail:
            self._take_lines([b"".join(self._tail)])
            self._tail = []
        event = self._dispatch()
        return [event] if event else []

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._grow(len(piece))
            self._tail.append(piece)

    def _grow(self, size: int) -> None:
        self._held += size
        if self._held > self._max:
            raise TooLarge("an event of the stream", self._max)

    def _take_lines(self, lines: list[bytes]) -> list[ServerSentEvent]:
        if not self.lines:
            lines[0] = lines[0].removeprefix(_BOM)
        self.lines += len(lines)
        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._take_field(line)
            elif event := self._dispatch():
                events.append(event)
        return events

    def _take_field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._grow(len(value) + 1)
            self._data.append(value)
        elif field == b"event":
            self._name = value
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")

    def _dispatch(self) -> ServerSentEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._held = b"", [], 0
        if not data:
            return None
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        return ServerSentEvent(name.decode(errors="replace") or "message", joined, self._id)
