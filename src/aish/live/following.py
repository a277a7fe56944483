"""A stream as its reader takes it: each event once, in order, over as many connections as it takes.

What a reader has not taken yet is kept up to a bound. Beyond it the hub is asked to stop, and to go on from
there once the reader has taken what is kept: the log is the buffer, and nobody else on the connection waits.
"""

from __future__ import annotations

from collections import deque
from typing import Self

import msgspec

from .errors import HubError, position_lost
from .link import Link
from .subscription import Subscription
from .values import Event

MOST_EVENTS, MOST_BYTES = 1024, 4 << 20  # kept for one reader


class Follow(Subscription):
    """`async for event in follow`, without end. `cursor`: of the last event that was given, where to go on
    from in another process; None at the beginning.

    Raises, where it is iterated:
        PositionLost: the cursor is not part of the log any more; nothing was left out before that.
        HubUnreachable: the hub did not come back in time. Iterating again tries again.
        HubError: the hub refuses.
    """

    def __init__(self, link: Link, stream: str, after: str | None) -> None:
        super().__init__(link)
        self.cursor = after
        self._stream = stream
        self._place = after  # of the last event that is kept
        self._seq = _seq(after) if after else None
        self._kept: deque[tuple[Event, int]] = deque()
        self._kept_bytes = 0

    @property
    def kept(self) -> int:
        """Events that have come and were not taken yet; at most `MOST_EVENTS`."""
        return len(self._kept)

    async def __anext__(self) -> Event:
        await self._filled()
        event, size = self._kept.popleft()
        self._kept_bytes -= size
        self.cursor = event.cursor
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Follow no more. Letting go of it does the same."""
        self._link.leave(self._name)
        self._name = ""

    def told(self, method: str, params: msgspec.Raw, size: int) -> None:
        try:
            if method == "event":
                self._take(msgspec.json.decode(params, type=Event), size)
            else:
                self._fail(position_lost(msgspec.json.decode(params)))
        except msgspec.ValidationError as error:
            self._fail(HubError(f"the hub tells what cannot be read: {error}", "unreadable"))
        self._news.set()

    def _take(self, event: Event, size: int) -> None:
        if self._seq is not None and event.seq <= self._seq:
            return
        if self._seq is not None and event.prev != self._seq:
            self.close()  # one is missing: it is asked for again
            return
        self._seq, self._place = event.seq, event.cursor
        self._kept.append((event, size))
        self._kept_bytes += size
        if len(self._kept) >= MOST_EVENTS or self._kept_bytes >= MOST_BYTES:
            self.close()

    def _fail(self, failure: HubError) -> None:
        """Raised behind what is kept."""
        self._failure = failure
        self._link.leave(self._name)

    async def _subscribe(self) -> None:
        params = {"stream": self._stream, **({"cursor": self._place} if self._place else {})}
        answer = await self._begin("subscribe", params)
        if answer is not None and answer["outcome"] != "ok":
            self._fail(position_lost(answer))


def _seq(cursor: str) -> int | None:
    """The number in a cursor; None where it is none, which the hub will say."""
    digits = cursor.rpartition(":")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None
