"""Requests for permission as they come and go, for somebody who is to be told each of them once."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from .errors import HubError
from .link import Link
from .subscription import Subscription
from .values import Permission, PermissionChange

MOST_KEPT = 256


class _Told(Permission, frozen=True, kw_only=True):
    option_id: str | None = None
    by: str = ""


class PermissionWatch(Subscription):
    """`async for change in watch`, without end: first the requests that wait already, then what comes.

    A reader that is behind by more than `MOST_KEPT` changes is told how it is then. What came and went while
    the connection was away is not told.

    Raises, where it is iterated:
        HubUnreachable: the hub did not come back in time. Iterating again tries again.
    """

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._waiting: dict[tuple[str, str], Permission] = {}
        self._kept: deque[PermissionChange] = deque()

    async def __anext__(self) -> PermissionChange:
        await self._filled()
        return self._kept.popleft()

    def told(self, method: str, params: msgspec.Raw, size: int) -> None:
        try:
            told = msgspec.json.decode(params, type=_Told)
            self._take(_request(told), method == "permission.asked", told.option_id, told.by)
        except msgspec.ValidationError as error:
            self._failure = HubError(f"the hub tells what cannot be read: {error}", "unreadable")
        if self._failure or len(self._kept) >= MOST_KEPT:
            self._link.leave(self._name)
            self._name = ""
        self._news.set()

    def _take(self, request: Permission, waits: bool, option_id: str | None = None, by: str = "") -> None:
        key = (request.session_id, request.request_id)
        if waits == (key in self._waiting):
            return
        if waits:
            self._waiting[key] = request
        else:
            del self._waiting[key]
        self._kept.append(PermissionChange(request, waits, option_id, by))

    async def _subscribe(self) -> None:
        """From how it is now; what is different from what was told is told first."""
        if (answer := await self._begin("watchPermissions", {})) is not None:
            self._compare(answer)

    def _compare(self, answer: Any) -> None:
        now = msgspec.convert(answer["permissions"], list[Permission])
        keys = {(request.session_id, request.request_id) for request in now}
        for key in [key for key in self._waiting if key not in keys]:
            self._take(self._waiting[key], waits=False)
        for request in now:
            self._take(request, waits=True)


def _request(told: _Told) -> Permission:
    return Permission(*(getattr(told, name) for name in Permission.__struct_fields__))
