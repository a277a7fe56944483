"""Following a stream: each event once and in order, over as many connections as necessary.

Events that the reader has not taken are buffered up to a limit. Beyond it, the client asks the hub to stop,
and continues from the same position when the reader has taken them. The log is the buffer, so a slow reader
does not delay other readers of the connection.
"""

from __future__ import annotations

from collections import deque
from typing import Self

import msgspec

from .connection import Connection
from .errors import HubError, position_lost
from .subscription import Subscription
from .values import Event

MAX_EVENTS, MAX_BYTES = 1024, 4 << 20  # buffered for one reader


class Follow(Subscription):
    """Follows a stream: `async for event in follow` yields events without end.

    `cursor` is the cursor of the last event that was yielded, or None at the beginning. Another process can
    continue from it.

    Raises, during the iteration:
        PositionLost: the cursor is no longer in the log. All events before the loss were yielded.
        HubUnreachable: the hub did not come back in time. Iterating again tries again.
        HubError: the hub rejects the subscription.
    """

    def __init__(self, connection: Connection, stream: str, after: str | None) -> None:
        super().__init__(connection)
        self.cursor = after
        self._stream = stream
        self._position = after  # of the last event in the buffer
        self._seq = _seq(after) if after else None
        self._buffer: deque[tuple[Event, int]] = deque()
        self._buffered_bytes = 0

    @property
    def buffered(self) -> int:
        """The number of events that have arrived and were not yielded yet, at most `MAX_EVENTS`."""
        return len(self._buffer)

    async def __anext__(self) -> Event:
        await self._wait_for_news()
        event, size = self._buffer.popleft()
        self._buffered_bytes -= size
        self.cursor = event.cursor
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. Dropping the last reference has the same effect."""
        self._connection.unfollow(self._name)
        self._name = ""

    def on_notice(self, method: str, params: msgspec.Raw, size: int) -> None:
        try:
            if method == "event":
                self._take(msgspec.json.decode(params, type=Event), size)
            else:
                self._fail(position_lost(msgspec.json.decode(params)))
        except msgspec.ValidationError as error:
            self._fail(HubError(f"the hub sent an invalid notice: {error}", "unreadable"))
        self._news.set()

    def _take(self, event: Event, size: int) -> None:
        if self._seq is not None and event.seq <= self._seq:
            return
        if self._seq is not None and event.prev != self._seq:
            self.close()  # an event is missing: subscribe again from the position
            return
        self._seq, self._position = event.seq, event.cursor
        self._buffer.append((event, size))
        self._buffered_bytes += size
        if len(self._buffer) >= MAX_EVENTS or self._buffered_bytes >= MAX_BYTES:
            self.close()

    def _fail(self, failure: HubError) -> None:
        """Raise the failure after the buffered events."""
        self._failure = failure
        self._connection.unfollow(self._name)

    async def _subscribe(self) -> None:
        params = {"stream": self._stream, **({"cursor": self._position} if self._position else {})}
        reply = await self._begin("subscribe", params)
        if reply is not None and reply["outcome"] != "ok":
            self._fail(position_lost(reply))


def _seq(cursor: str) -> int | None:
    """Return the number in a cursor; None if the cursor is invalid, which the hub will report."""
    digits = cursor.rpartition(":")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None
