"""Sends a stream to many clients, and reads each record once for all clients at the same position.

Clients with the same position, the same view and the same API form a group, in which one task reads, encodes
and writes for all. A client that is too slow for its group leaves it, reads at its own pace, and joins a
group again when it has caught up. Events that a client has not received are not buffered, except for one
batch of frames.

The broadcaster knows no dialect and no transport: a view encodes records, a subscriber sends frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field

from msgspec import Struct

from rhetor.domain.event import Position
from rhetor.store.base import Log, Record

from .subscriber import DirectWriter, Subscriber, View

BATCH_BYTES = 256 << 10  # of event data; the event that reaches it is the last one of a write


@dataclass(slots=True)
class _Cursor:
    """The position of a reader.

    `unsent`: encoded frames of events up to `after` that the client had no room for. `sent_seq`: the sequence
    number up to which the client has received everything, if there are unsent frames.
    """

    after: Position
    view: View
    unsent: bytes = b""
    sent_seq: int = field(default=0, compare=False)

    @property
    def seq(self) -> int:
        """The sequence number up to which the client has received everything."""
        return self.sent_seq if self.unsent else self.after.seq


class _Follower(Struct, eq=False):
    stream: str
    cursor: _Cursor


class Broadcaster:
    """Serves all clients that follow streams of `log`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._groups: dict[str, list[_Group]] = {}
        self._followers: set[_Follower] = set()

    def __len__(self) -> int:
        """Return the number of groups."""
        return sum(map(len, self._groups.values()))

    def followers(self) -> Iterator[tuple[str, int]]:
        """Yield each follower's stream, and the sequence number up to which its client has everything."""
        for follower in self._followers:
            yield follower.stream, follower.cursor.seq

    async def follow(self, stream: str, after: Position, view: View, subscriber: Subscriber) -> None:
        """Send the events after `after`, encoded by a copy of `view`, until the view is over.

        Events arrive in order, each exactly once.

        Raises:
            PositionLost: the position is not, or is no longer, part of the log.
            TooSlow: the client does not read.
        """
        follower = _Follower(stream, _Cursor(after, copy(view)))
        self._followers.add(follower)
        try:
            await self._catch_up(stream, follower.cursor, subscriber)
            while not follower.cursor.view.is_over:
                group = self._group_at(stream, follower.cursor, subscriber.api)
                follower.cursor = group.cursor
                try:
                    follower.cursor = await group.join(subscriber)
                finally:
                    self._drop_if_empty(stream, group)
                await self._catch_up(stream, follower.cursor, subscriber)
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
        """Send the records of `batches` to the subscriber until `view` is over or the batches end.

        Use it instead of `follow` if something must happen before and after each batch is sent. `view` itself
        is used, not a copy.

        Raises:
            TooSlow: the client does not read.
        """
        follower = _Follower(stream, _Cursor(after, view))
        self._followers.add(follower)
        try:
            async for records in batches:
                await _write(records, view, subscriber)
                follower.cursor.after = records[-1].position
                if view.is_over:
                    return
        finally:
            self._followers.discard(follower)

    async def _catch_up(self, stream: str, cursor: _Cursor, subscriber: Subscriber) -> None:
        if cursor.unsent:
            await subscriber.write(cursor.unsent)
            cursor.unsent = b""
        while not cursor.view.is_over and (records := await self._log.page(stream, cursor.after)):
            await _write(records, cursor.view, subscriber)
            cursor.after = records[-1].position

    def _group_at(self, stream: str, cursor: _Cursor, api: str) -> _Group:
        """Return the group at this cursor, and create it if there is none.

        The caller must not await anything between the reader's last read and this call.
        """
        groups = self._groups.setdefault(stream, [])
        for group in groups:
            if group.cursor == cursor and group.api == api:
                return group
        groups.append(_Group(self._log, stream, cursor, api))
        return groups[-1]

    def _drop_if_empty(self, stream: str, group: _Group) -> None:
        groups = self._groups.get(stream, [])
        if group.is_empty and group in groups:
            groups.remove(group)
            if not groups:
                del self._groups[stream]


class _Member(Struct, eq=False):
    """A subscriber in a group. `woken`: it must check its state again. `detached_at`: its cursor when it left
    the group, because it had no room or the view was over."""

    subscriber: Subscriber
    writer: DirectWriter
    woken: asyncio.Future[None]
    detached_at: _Cursor | None = None

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class _Group:
    """Subscribers of one API at one cursor. One member's task reads for all, and the other tasks wait. If
    that member leaves, the next member takes over."""

    def __init__(self, log: Log, stream: str, cursor: _Cursor, api: str) -> None:
        self._log = log
        self._stream = stream
        self.api = api
        self._members: dict[_Member, None] = {}
        self._has_reader = False
        self.cursor = _Cursor(cursor.after, copy(cursor.view))

    @property
    def is_empty(self) -> bool:
        return not self._members

    async def join(self, subscriber: Subscriber) -> _Cursor:
        """Serve the subscriber until it has no room or the view is over; return its cursor at that moment.

        Raises:
            PositionLost: the group's position is no longer part of the log.
        """
        new_future = asyncio.get_running_loop().create_future
        member = _Member(subscriber, subscriber.writer, new_future())
        self._members[member] = None
        try:
            while member.detached_at is None:
                if self._has_reader:
                    await member.woken
                    member.woken = new_future()
                else:
                    await self._read_for_all(member)
            return member.detached_at
        finally:
            self._members.pop(member, None)
            if not self._has_reader:
                self._wake_next()

    async def _read_for_all(self, member: _Member) -> None:
        """Read and write for all members until `member` leaves."""
        self._has_reader = True
        try:
            while member.detached_at is None:
                await self._log.wait(self._stream, self.cursor.after)
                if records := await self._log.page(self._stream, self.cursor.after):
                    self._send(records)
        finally:
            self._has_reader = False

    def _wake_next(self) -> None:
        for member in self._members:
            member.wake()
            return

    def _send(self, records: Sequence[Record]) -> None:
        view = self.cursor.view
        for batch in _batches(records):
            frames, sent_seq = b"".join(map(view.encode, batch)), self.cursor.seq
            self.cursor.after = batch[-1].position
            if frames and self._members:
                self._put(frames, sent_seq)
        if view.is_over:
            for member in list(self._members):
                self._detach(member, b"", self.cursor.seq)

    def _put(self, frames: bytes, sent_seq: int) -> None:
        first = next(iter(self._members)).subscriber
        enclosed = first.enclose(frames)
        full = [member for member in self._members if member.writer.put(enclosed) is False]
        first.count(len(enclosed) * (len(self._members) - len(full)))
        for member in full:
            self._detach(member, frames, sent_seq)

    def _detach(self, member: _Member, unsent: bytes, sent_seq: int) -> None:
        del self._members[member]
        member.detached_at = _Cursor(self.cursor.after, copy(self.cursor.view), unsent, sent_seq)
        member.wake()


async def _write(records: Sequence[Record], view: View, subscriber: Subscriber) -> None:
    for batch in _batches(records):
        if frames := b"".join(map(view.encode, batch)):
            await subscriber.write(frames)


def _batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Yield the records in as few batches as possible. A batch ends with the record that reaches
    `BATCH_BYTES`."""
    begin = size = 0
    for n, record in enumerate(records, 1):
        size += len(record.data)
        if size >= BATCH_BYTES or n == len(records):
            yield records[begin:n]
            begin, size = n, 0
