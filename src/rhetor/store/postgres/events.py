"""Reads streams."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rhetor.domain.event import Event, Position
from rhetor.errors import NotFound
from rhetor.store.base import Head, Record, require_before, require_position
from rhetor.store.incarnation import Incarnation, remember
from rhetor.store.messages import folded
from rhetor.store.sealed import Sealing

from .connection import Pool
from .incarnations import incarnation_of
from .statements import sql

PAGE_BYTES = 4 << 20  # a page ends with the record whose payload reaches this size


class Events:
    """Streams, as `Log` reads them. Each read is one statement, so followers never wait for a writer."""

    def __init__(self, pool: Pool, sealing: Sealing) -> None:
        self._pool = pool
        self._sealing = sealing
        self._known: dict[str, Incarnation] = {}  # as of the last page; only what never changes is used

    async def head(self, stream: str) -> Head | None:
        rows = await self._pool.fetch(sql("head"), stream)
        return incarnation_of(rows[0]).standing() if rows else None

    async def heads(self, streams: Sequence[str]) -> dict[str, tuple[str, int, int]]:
        """Return the epoch, head and earliest number of each of the streams that exists."""
        rows = await self._pool.fetch(sql("heads"), list(streams))
        return {stream: (epoch, head, earliest) for stream, epoch, head, earliest in rows}

    async def page(self, stream: str, after: Position, limit: int) -> Sequence[Record]:
        """Return a page of records, as `Log.page` does.

        The events are read first, if their incarnation is known: there are none if the position is lost.
        """
        incarnation = self._known.get(stream)
        while True:
            if incarnation is not None and incarnation.epoch == after.epoch:
                rows = await self._pool.fetch(sql("page"), incarnation.id, after.seq, limit, PAGE_BYTES)
                if rows:
                    return self._records(incarnation, rows)
            incarnation = await self._require(stream)
            require_position(incarnation.standing(), after)
            remember(self._known, {stream: incarnation})
            if after.seq >= incarnation.head:
                return []

    async def page_before(self, stream: str, before: Position, limit: int) -> Sequence[Record]:
        """Return a page of records, as `Log.page_before` does."""
        async with self._pool.transaction() as connection:
            found = await connection.fetchrow(sql("head"), stream)
            if found is None:
                raise NotFound("stream", stream)
            incarnation = incarnation_of(found)
            require_before(incarnation.standing(), before)
            across = await connection.fetchrow(sql("event_from"), incarnation.id, before.seq)
            limits = incarnation.id, before.seq, limit, PAGE_BYTES, incarnation.earliest
            rows = await connection.fetch(sql("page_before"), *limits)
        records = self._records(incarnation, rows)
        if across is not None:
            fold = self._record(incarnation, across)
            if fold.prev + 1 < before.seq:  # it replaces events before the position
                records = [fold, *records][:limit]
        return records[::-1]

    async def of_types(self, types: Collection[str], after: Position | None, limit: int) -> Sequence[Record]:
        """Return a page of the records of all streams, as `Log.of_types` does."""
        begin = (0, 0)
        if after is not None and (rows := await self._pool.fetch(sql("epoch"), after.epoch)):
            begin = rows[0][0], after.seq
        found = await self._pool.fetch(sql("of_types"), list(types), *begin, limit)
        records = []
        for origin, stream, epoch, seq, at, kind, turn_id, step, data in found:
            opened = self._sealing.opened_event(origin, seq, data)
            records.append(Record(stream, epoch, seq, at, kind, turn_id, step, opened))
        return records

    async def folds(self, stream: str, turn_id: str) -> Sequence[Event]:
        """Return the events that replace the answer chunks of a turn."""
        incarnation = await self._require(stream)
        [(asked,)] = await self._pool.fetch(sql("turn_begin"), incarnation.id, turn_id)
        begin = max(asked or 0, incarnation.earliest)
        rows = await self._pool.fetch(sql("turn_events"), incarnation.id, begin, turn_id)
        return folded(record.event for record in self._records(incarnation, rows))

    async def old_events(self, before: int) -> Sequence[tuple[str, int]]:
        return [(stream, seq) for stream, seq in await self._pool.fetch(sql("old_events"), before)]

    async def oldest(self, without: str) -> int | None:
        [(at,)] = await self._pool.fetch(sql("oldest"), without)
        return None if at is None else int(at)

    async def size(self) -> int:
        [(size,)] = await self._pool.fetch(sql("size"))
        return int(size)

    async def _require(self, stream: str) -> Incarnation:
        rows = await self._pool.fetch(sql("head"), stream)
        if not rows:
            raise NotFound("stream", stream)
        return incarnation_of(rows[0])

    def _records(self, incarnation: Incarnation, rows: Sequence[Any]) -> list[Record]:
        stream, epoch = incarnation.stream, incarnation.epoch
        if not self._sealing.may_be_sealed:
            return [Record(stream, epoch, *row) for row in rows]
        return [self._record(incarnation, row) for row in rows]

    def _record(self, incarnation: Incarnation, row: Any) -> Record:
        seq, at, kind, turn_id, step, data = row
        opened = self._sealing.opened_event(incarnation.origin, seq, data)
        return Record(incarnation.stream, incarnation.epoch, seq, at, kind, turn_id, step, opened)
