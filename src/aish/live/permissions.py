"""Watches permission requests: each one that is made or answered is reported once."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from .connection import Connection
from .errors import HubError
from .subscription import Subscription
from .values import Permission, PermissionChange

MAX_BUFFERED = 256


class _Notice(Permission, frozen=True, kw_only=True):
    option_id: str | None = None
    by: str = ""
    answers: dict[str, list[str] | str] | None = None


class PermissionWatch(Subscription):
    """Watches permission requests: `async for change in watch` yields first the pending requests, then every
    change, without end.

    A reader that is more than `MAX_BUFFERED` changes behind gets the difference to the current state instead.
    A request that was made and answered while the connection was lost is not reported.

    Raises, during the iteration:
        HubUnreachable: the hub did not come back in time. Iterating again tries again.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._pending: dict[tuple[str, str], Permission] = {}
        self._buffer: deque[PermissionChange] = deque()

    async def __anext__(self) -> PermissionChange:
        await self._wait_for_news()
        return self._buffer.popleft()

    def on_notice(self, method: str, params: msgspec.Raw, size: int) -> None:
        try:
            notice = msgspec.json.decode(params, type=_Notice)
            request = _request(notice)
            change = PermissionChange(
                request, method == "permission.asked", notice.option_id, notice.by, notice.answers
            )
            self._take(change)
        except msgspec.ValidationError as error:
            self._failure = HubError(f"the hub sent an invalid notice: {error}", "unreadable")
        if self._failure or len(self._buffer) >= MAX_BUFFERED:
            self._connection.unfollow(self._name)
            self._name = ""
        self._news.set()

    def _take(self, change: PermissionChange) -> None:
        key = (change.request.session_id, change.request.request_id)
        if change.pending == (key in self._pending):
            return
        if change.pending:
            self._pending[key] = change.request
        else:
            del self._pending[key]
        self._buffer.append(change)

    async def _subscribe(self) -> None:
        """Subscribe, and report the difference between the current state and the last reported one."""
        if (reply := await self._begin("watchPermissions", {})) is not None:
            self._compare(reply)

    def _compare(self, reply: Any) -> None:
        now = msgspec.convert(reply["permissions"], list[Permission])
        keys = {(request.session_id, request.request_id) for request in now}
        for key in [key for key in self._pending if key not in keys]:
            self._take(PermissionChange(self._pending[key], pending=False))
        for request in now:
            self._take(PermissionChange(request, pending=True))


def _request(notice: _Notice) -> Permission:
    return Permission(*(getattr(notice, name) for name in Permission.__struct_fields__))
