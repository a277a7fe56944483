"""Watches how many turns run, and how many messages and permission requests wait."""

from __future__ import annotations

from collections import deque

import msgspec

from .connection import Connection
from .errors import HubError
from .subscription import Subscription
from .values import Activity


class ActivityWatch(Subscription):
    """Watches the hub: `async for activity in watch` yields the present figures, then every change, without
    end; None when the connection is lost, until it is there again. A slow reader gets only the latest.

    Raises, during the iteration:
        UnknownPeer: there is no peer and no terminal with the name `place`.
        HubUnreachable: the hub did not come back in time. Iterating again tries again.
    """

    def __init__(self, connection: Connection, place: str | None) -> None:
        super().__init__(connection)
        self._place = place
        self._buffer: deque[Activity | None] = deque(maxlen=1)

    async def __anext__(self) -> Activity | None:
        await self._wait_for_news()
        return self._buffer.popleft()

    def on_notice(self, method: str, params: msgspec.Raw, size: int) -> None:
        try:
            self._buffer.append(msgspec.json.decode(params, type=Activity))
        except msgspec.ValidationError as error:
            self._failure = HubError(f"the hub sent an invalid notice: {error}", "unreadable")
            self._connection.unfollow(self._name)
        self._news.set()

    def on_disconnect(self) -> None:
        self._buffer.append(None)
        super().on_disconnect()

    async def _subscribe(self) -> None:
        place = {} if self._place is None else {"place": self._place}
        if (reply := await self._begin("watchActivity", place)) is not None and not self._buffer:
            self._buffer.append(msgspec.convert(reply, Activity))
