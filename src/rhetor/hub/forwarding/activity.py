"""The activity of a caller in three numbers: running turns, unread messages and permission requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.domain.inbox import Tray
from rhetor.domain.principal import Principal
from rhetor.errors import UnknownPeer
from rhetor.hub.programs.now import open_turns
from rhetor.hub.programs.ownership import is_own
from rhetor.hub.turns.answers import open_permissions

from . import inbox

if TYPE_CHECKING:
    from rhetor.hub.state import State

UNREAD: tuple[Tray, ...] = ("prompt", "new")  # what is in the tray `keep` was read


class Activity(Struct, frozen=True, gc=False):
    """`turns`: the caller's turns that run, waiting ones included. `unread`: the messages in the trays
    `prompt` and `new` of a peer or a terminal. `permissions`: the requests that wait for an answer."""

    turns: int = 0
    unread: int = 0
    permissions: int = 0


class ActivityWatch:
    """Counts again what may have changed. `place`: whose trays are counted; without it, none are."""

    def __init__(self, state: State, principal: Principal, place: str | None) -> None:
        self._state = state
        self._principal = principal
        self._place = place
        self._unread = self._permissions = 0
        self._changed = state.activity.next()
        self._requests_changed: asyncio.Event | None = None
        self._notes_changed: asyncio.Event | None = None

    async def read(self) -> Activity:
        """Return the figures as they are now.

        Raises:
            UnknownPeer: neither a peer nor a terminal of the caller has the name `place`. This is raised only
                the first time; a place that is removed later has no messages.
        """
        state = self._state
        self._changed = state.activity.next()
        if self._requests_changed is None or self._requests_changed.is_set():
            self._requests_changed = state.requests_changed.next()
            self._permissions = len(await open_permissions(state, self._principal))
        if self._place is not None and (self._notes_changed is None or self._notes_changed.is_set()):
            is_first, self._notes_changed = self._notes_changed is None, state.notes_changed.next()
            self._unread = await self._count_unread(self._place, is_first=is_first)
        return Activity(self._turns(), self._unread, self._permissions)

    async def wait(self) -> None:
        """Wait until the figures may have changed."""
        await self._changed.wait()

    async def _count_unread(self, place: str, *, is_first: bool) -> int:
        try:
            counts = await inbox.counts(self._state, self._principal, place)
        except UnknownPeer:
            if is_first:
                raise
            return 0
        return sum(counts[tray] for tray in UNREAD)

    def _turns(self) -> int:
        owners = (turn.owner for turn in open_turns(self._state))
        return sum(is_own(self._state, self._principal, owner) for owner in owners)
