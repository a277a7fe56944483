"""Following a stream for many: who stands at the same place and is shown the same is read to by one task.

A reader that lags reads by itself, at its own pace, until it has caught up with the log. What was not read
yet is not kept for anybody anywhere, but for the one piece that a client had no room for. It knows no
dialect and no transport: a view turns records to frames, an outlet takes frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

from rhetor.domain.event import Position
from rhetor.store.base import Log, Record

from .subscriber import DirectWriter, Subscriber, View

PIECE_BYTES = 256 << 10  # of events' data: what is given to an outlet in one go


@dataclass(slots=True)
class _Place:
    """Where a reader is. `owed`: frames of events up to there, of which its client was given what is up to
    `given`."""

    after: Position
    view: View
    owed: bytes = b""
    given: int = field(default=0, compare=False)

    @property
    def seq(self) -> int:
        """The number up to which the client has been given everything."""
        return self.given if self.owed else self.after.seq


@dataclass(slots=True, eq=False)
class _Follower:
    stream: str
    place: _Place


class Broadcaster:
    """All who follow streams of `log`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._groups: dict[str, list[_Group]] = {}
        self._followers: set[_Follower] = set()

    def __len__(self) -> int:
        """How many groups of readers there are."""
        return sum(map(len, self._groups.values()))

    def followers(self) -> Iterator[tuple[str, int]]:
        """Of each that follows a stream: which one, and the number up to which its client was given it."""
        for follower in self._followers:
            yield follower.stream, follower.place.seq

    async def follow(self, stream: str, after: Position, view: View, subscriber: Subscriber) -> None:
        """Let the outlet have what the view shows of what is behind `after`, and then of what comes, until
        the view is over.

        Raises:
            PositionLost: the position is not, or is no longer, part of the log.
            TooSlow: the client does not read.
        """
        follower = _Follower(stream, _Place(after, copy(view)))
        self._followers.add(follower)
        try:
            await self._catch_up(stream, follower.place, subscriber)
            while not follower.place.view.is_over:
                group = self._at(stream, follower.place, subscriber.api)
                follower.place = group.place
                try:
                    follower.place = await group.stand(subscriber)
                finally:
                    self._drop_empty(stream, group)
                await self._catch_up(stream, follower.place, subscriber)
        finally:
            self._followers.discard(follower)

    async def show(
        self,
        stream: str,
        after: Position,
        batches: AsyncIterator[Sequence[Record]],
        view: View,
        subscriber: Subscriber,
    ) -> None:
        """The same from the records of `batches`: for one who has to do something with them before and after
        each batch is given. The view itself is shown, not a copy.

        Raises:
            TooSlow: the client does not read.
        """
        follower = _Follower(stream, _Place(after, view))
        self._followers.add(follower)
        try:
            async for records in batches:
                await _write(records, view, subscriber)
                follower.place.after = records[-1].position
                if view.is_over:
                    return
        finally:
            self._followers.discard(follower)

    async def _catch_up(self, stream: str, place: _Place, subscriber: Subscriber) -> None:
        if place.owed:
            await subscriber.write(place.owed)
            place.owed = b""
        while not place.view.is_over and (records := await self._log.page(stream, place.after)):
            await _write(records, place.view, subscriber)
            place.after = records[-1].position

    def _at(self, stream: str, place: _Place, api: str) -> _Group:
        """Those who stand there. Between the reader's last look at the log and this nothing may happen."""
        broadcaster = self._groups.setdefault(stream, [])
        for group in broadcaster:
            if group.place == place and group.api == api:
                return group
        broadcaster.append(_Group(self._log, stream, place, api))
        return broadcaster[-1]

    def _drop_empty(self, stream: str, group: _Group) -> None:
        broadcaster = self._groups.get(stream, [])
        if group.is_empty and group in broadcaster:
            broadcaster.remove(group)
            if not broadcaster:
                del self._groups[stream]


@dataclass(slots=True, eq=False)
class _Member:
    """`called`: it is to look again. `left`: where it was when it could not take more."""

    subscriber: Subscriber
    writer: DirectWriter
    called: asyncio.Future[None]
    left: _Place | None = None

    def call(self) -> None:
        if not self.called.done():
            self.called.set_result(None)


class _Group:
    """Readers at one place, through one api. One of them reads for all, and when it goes the next one does;
    the others' tasks only wait."""

    def __init__(self, log: Log, stream: str, place: _Place, api: str) -> None:
        self._log = log
        self._stream = stream
        self.api = api
        self._members: dict[_Member, None] = {}
        self._is_read = False
        self.place = _Place(place.after, copy(place.view))

    @property
    def is_empty(self) -> bool:
        return not self._members

    async def stand(self, subscriber: Subscriber) -> _Place:
        """Until the outlet has no room for what comes, or there is no more to come: where it was then.

        Raises:
            PositionLost: as `Log.page`.
        """
        new_future = asyncio.get_running_loop().create_future
        member = _Member(subscriber, subscriber.writer, new_future())
        self._members[member] = None
        try:
            while member.left is None:
                if self._is_read:
                    await member.called
                    member.called = new_future()
                else:
                    await self._read(member)
            return member.left
        finally:
            self._members.pop(member, None)
            if not self._is_read:
                self._call_next()

    async def _read(self, member: _Member) -> None:
        """For all, as long as this one is among them."""
        self._is_read = True
        try:
            while member.left is None:
                await self._log.wait(self._stream, self.place.after)
                if records := await self._log.page(self._stream, self.place.after):
                    self._give(records)
        finally:
            self._is_read = False

    def _call_next(self) -> None:
        for member in self._members:
            member.call()
            return

    def _give(self, records: Sequence[Record]) -> None:
        view = self.place.view
        for piece in _pieces(records):
            frames, given = b"".join(map(view.take, piece)), self.place.seq
            self.place.after = piece[-1].position
            if frames and self._members:
                self._put(frames, given)
        if view.is_over:
            for member in list(self._members):
                self._let_go(member, b"", self.place.seq)

    def _put(self, frames: bytes, given: int) -> None:
        first = next(iter(self._members)).subscriber
        enclosed = first.enclose(frames)
        stopped = [member for member in self._members if member.writer.put(enclosed) is False]
        first.count(len(enclosed) * (len(self._members) - len(stopped)))
        for member in stopped:
            self._let_go(member, frames, given)

    def _let_go(self, member: _Member, owed: bytes, given: int) -> None:
        del self._members[member]
        member.left = _Place(self.place.after, copy(self.place.view), owed, given)
        member.call()


async def _write(records: Sequence[Record], view: View, subscriber: Subscriber) -> None:
    for piece in _pieces(records):
        if frames := b"".join(map(view.take, piece)):
            await subscriber.write(frames)


def _pieces(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records, in as few pieces as may be."""
    begin = size = 0
    for n, record in enumerate(records, 1):
        size += len(record.data)
        if size >= PIECE_BYTES or n == len(records):
            yield records[begin:n]
            begin, size = n, 0
