"""The calls of `/ws` that follow streams, many on one connection, and watch requests and activity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Raw
from msgspec.structs import asdict

from rhetor.codec.jsonrpc import INVALID_PARAMS, Call, Refused
from rhetor.dialects.event_filter import types_of
from rhetor.dialects.subscriptions import (
    NamedView,
    Subscribe,
    Unsubscribe,
    WatchActivity,
    WatchPeers,
    WatchPermissions,
    WatchSessions,
    activity,
    decode,
    listing,
    lost,
    permission,
)
from rhetor.domain.event import Position
from rhetor.errors import NotFound, PositionLost
from rhetor.hub.forwarding.activity import Activity, ActivityWatch
from rhetor.hub.turns.answers import PermissionWatch
from rhetor.store.base import resumed
from rhetor.transports.server.requests import shown
from rhetor.transports.views.board import ListWatch
from rhetor.transports.views.peer_board import PeerWatch
from rhetor.transports.views.session_board import SessionWatch

from .connection import SocketConnection
from .rpc import Reply

_ACTIVITY_SECONDS = 0.1  # changes within this time are one notification


class _Unstarted:
    """A subscription whose reply has not been written yet."""


class SubscriptionHandler:
    """Answers the calls that follow streams, by the names that the client gave them."""

    def __init__(self, connection: SocketConnection) -> None:
        self._connection = connection
        self._hub = connection.hub
        self._followed: dict[str, asyncio.Task[None] | _Unstarted] = {}

    async def answer(self, call: Call) -> Reply:
        match decode(call):
            case Subscribe() as asked:
                return await self._subscribe(asked)
            case Unsubscribe(subscription):
                return await self._unsubscribe(subscription)
            case WatchPermissions(subscription):
                return await self._watch(subscription)
            case WatchActivity(subscription, place):
                return await self._watch_activity(subscription, place)
            case WatchPeers(subscription):
                return await self._watch_list(PeerWatch(self._connection), subscription)
            case WatchSessions(subscription, states):
                return await self._watch_list(SessionWatch(self._connection, states), subscription)

    async def _subscribe(self, asked: Subscribe) -> Reply:
        self._require_room(asked.subscription)
        wanted = types_of(asked.events)
        try:
            stream = await self._hub.may_read(self._connection.who, asked.stream)
            head, after = await self._hub.position(self._connection.who, stream, asked.cursor)
        except PositionLost as why:
            return Reply(why.data)
        then = self._begin(
            asked.subscription, lambda: self._follow(asked.subscription, stream, after, wanted)
        )
        return Reply({**resumed(head, after), "cursor": str(after)}, then=then)

    async def _unsubscribe(self, subscription: str) -> Reply:
        task = self._followed.pop(subscription, None)
        if isinstance(task, asyncio.Task):
            task.cancel()
            await asyncio.wait([task])
        return Reply({"subscription": subscription})

    async def _watch(self, subscription: str) -> Reply:
        self._require_room(subscription)
        watch = PermissionWatch(self._hub.state, self._connection.who)
        waiting, _ = await watch.changes()
        then = self._begin(subscription, lambda: self._tell(watch, subscription))
        return Reply({"permissions": [shown(asked) for asked in waiting]}, then=then)

    async def _watch_activity(self, subscription: str, place: str | None) -> Reply:
        self._require_room(subscription)
        watch = ActivityWatch(self._hub.state, self._connection.who, place)
        first = await watch.read()
        then = self._begin(subscription, lambda: self._tell_activity(watch, subscription, first))
        return Reply(asdict(first), then=then)

    async def _watch_list(self, watch: ListWatch[Any], subscription: str) -> Reply:
        self._require_room(subscription)
        first = await watch.first()
        then = self._begin(subscription, lambda: self._tell_list(watch, subscription))
        return Reply(first, then=then)

    def _require_room(self, subscription: str) -> None:
        if subscription in self._followed:
            raise Refused(INVALID_PARAMS, f"the subscription {subscription!r} already exists")
        self._connection.require_room()

    def _begin(self, subscription: str, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Return a function that starts the work, to be called when the reply has been written. It does
        nothing if the same batch has ended the subscription."""
        unstarted = self._followed[subscription] = _Unstarted()

        async def until_over() -> None:
            mine = asyncio.current_task()
            try:
                await work()
            finally:
                if self._followed.get(subscription) is mine:
                    del self._followed[subscription]

        def begin() -> None:
            # the same batch may have ended it, and may have begun another one with its name
            if self._followed.get(subscription) is unstarted:
                self._followed[subscription] = self._connection.start(until_over(), f"follow {subscription}")

        return begin

    async def _follow(
        self, subscription: str, stream: str, after: Position, wanted: frozenset[str] | None
    ) -> None:
        try:
            await self._connection.follow(stream, after, NamedView(subscription, after.seq, wanted))
        except (PositionLost, NotFound) as why:  # this ends the subscription, not the connection
            await self._connection.say(lost(subscription, {"outcome": "gone", **why.data}))

    async def _tell(self, watch: PermissionWatch, subscription: str) -> None:
        while True:
            await watch.wait()
            asked, answered = await watch.changes()
            told = [shown(one) for one in (*answered, *asked)]
            await self._connection.say(*(permission(subscription, one) for one in told))

    async def _tell_list(self, watch: ListWatch[Any], subscription: str) -> None:
        async def say(changed: list[Raw], removed: list[str]) -> None:
            await self._connection.say(listing(watch.method, subscription, changed, removed))

        await watch.follow(say)

    async def _tell_activity(self, watch: ActivityWatch, subscription: str, told: Activity) -> None:
        while True:
            await watch.wait()
            await asyncio.sleep(_ACTIVITY_SECONDS)
            if (now := await watch.read()) != told:
                told = now
                await self._connection.say(activity(subscription, asdict(now)))
