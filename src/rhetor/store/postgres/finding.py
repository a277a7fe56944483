"""Finds messages: by words, and the newest ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rhetor.domain.event import Position
from rhetor.errors import SealBroken
from rhetor.store.base import Among, Exchange, Hit
from rhetor.store.encoding import decode
from rhetor.store.messages import is_model, model_of, peer_of
from rhetor.store.sealed import Sealing
from rhetor.store.search import excerpt, rank

from .connection import Connection, Pool
from .conversation import opened_text
from .statements import sql
from .words import query_of

AT_ONCE = 200  # messages that are read, and chosen from
RANKED = 10_000  # the newest messages that have the words, of which the best are returned
_FOREVER = 2**63 - 1


class Messages:
    """The messages of all streams, as `Log` finds them."""

    def __init__(self, pool: Pool, sealing: Sealing) -> None:
        self._pool = pool
        self._sealing = sealing

    async def recent(self, limit: int, among: Among, before: str | None) -> Sequence[Exchange]:
        """Return questions with their answers, as `Log.recent` does."""
        found: list[Exchange] = []
        async with self._pool.transaction() as connection:
            place: tuple[int, int] | None = (_FOREVER, _FOREVER)
            if before is not None:
                place = await connection.fetchrow(sql("asked"), before)
            narrowed = among.since, _list(among.streams), among.owner, self._peer_bytes(among)
            count = min(limit, AT_ONCE)
            while place is not None and len(found) < limit:
                # with a limit, the index gives the questions in their order, and no more is read
                rows = await connection.fetch(sql("recent"), *place, *narrowed, count)
                place = (rows[-1][1], rows[-1][0]) if len(rows) == count else None
                count = AT_ONCE
                models = await self._models(connection, [(row[3], row[5]) for row in rows])
                chosen = [
                    (row, model)
                    for row, model in zip(rows, models, strict=True)
                    if self._wants(among, row[5], row[7], model)
                ][: limit - len(found)]
                found += await self._exchanges(connection, chosen)
        return found

    async def search(self, words: Sequence[str], among: Among, limit: int) -> Sequence[Hit]:
        """Search in the index, as `Log.search` does; without an index, if content is sealed."""
        async with self._pool.transaction() as connection:
            if self._sealing.may_be_sealed:
                ids = await self._scanned(connection, words, among, limit)
            else:
                ids = await self._indexed(connection, words, among, limit)
            rows = {row[0]: row for row in await connection.fetch(sql("hits"), ids)}
        return [self._hit(rows[id], words) for id in ids if id in rows]

    async def _indexed(
        self, connection: Connection, words: Sequence[str], among: Among, limit: int
    ) -> list[int]:
        # all of them, if those that are wanted are chosen from them
        ranked = RANKED if among.model is None and among.peer is None else None
        values = (
            query_of(words),
            among.since,
            _list(among.streams),
            among.owner,
            self._peer_bytes(among),
            ranked,
        )
        ids: list[int] = []
        async for rows in self._pages(connection, "search", values, limit):
            ids += await self._chosen(connection, among, rows)
            if len(ids) >= limit:
                break
        return ids[:limit]

    async def _scanned(
        self, connection: Connection, words: Sequence[str], among: Among, limit: int
    ) -> list[int]:
        """Read all messages: while content is sealed, no index may be on the disk."""
        values = among.since, _list(among.streams), among.owner, None
        found: list[tuple[int, int]] = []
        async for rows in self._pages(connection, "scan", values, AT_ONCE):
            ranks = await asyncio.to_thread(self._ranks, rows, words)
            matching = [row for row, number in zip(rows, ranks, strict=True) if number]
            chosen = set(await self._chosen(connection, among, matching))
            found += [(n, row[0]) for n, row in zip(ranks, rows, strict=True) if row[0] in chosen]
        found.sort(reverse=True)
        return [id for _, id in found[:limit]]

    def _ranks(self, rows: Sequence[Any], words: Sequence[str]) -> list[int]:
        found = []
        for row in rows:
            try:
                found.append(rank(opened_text(self._sealing, row[2], *row[5:8]), words))
            except SealBroken:  # its session shows that it is broken
                found.append(0)
        return found

    async def _chosen(self, connection: Connection, among: Among, rows: Sequence[Any]) -> list[int]:
        """Return the ids of the messages that are wanted."""
        models: Sequence[str | None] = [None] * len(rows)
        if among.model is not None:
            models = await self._models(connection, [(row[1], row[3]) for row in rows])
        return [
            row[0]
            for row, model in zip(rows, models, strict=True)
            if self._wants(among, row[3], row[4], model)
        ]

    async def _pages(
        self, connection: Connection, name: str, values: Sequence[object], limit: int
    ) -> AsyncIterator[list[Any]]:
        """Yield what a statement finds, some at a time. No more is read than the caller needs."""
        if limit <= 0:
            return
        cursor = await connection.cursor(sql(name), *values)
        count = min(limit, AT_ONCE)
        while rows := await cursor.fetch(count):
            yield rows
            count = AT_ONCE

    def _peer_bytes(self, among: Among) -> bytes | None:
        """Return bytes that each document of a turn with this peer has; None if that is not certain."""
        peer = among.peer
        if peer is None or self._sealing.may_be_sealed or not peer.isascii():
            return None
        return json.dumps(peer).encode() if peer.isprintable() else None

    def _wants(self, among: Among, turn_id: str, doc: bytes | None, model: str | None) -> bool:
        if among.peer is not None and among.peer != self._peer(turn_id, doc):
            return False
        return among.model is None or is_model(model, among.model)

    def _peer(self, turn_id: str, doc: bytes | None) -> str:
        return "" if doc is None else peer_of(self._sealing.opened_doc("turn", turn_id, doc))

    async def _models(self, connection: Connection, turns: Sequence[tuple[int, str]]) -> Sequence[str | None]:
        """Return the model that answered each turn; None if no event names one."""
        if not turns:
            return []
        named: list[list[Any]] = [[] for _ in turns]
        incs, ids = [inc for inc, _ in turns], [turn_id for _, turn_id in turns]
        for number, origin, seq, kind, data in await connection.fetch(sql("models"), incs, ids):
            named[number - 1].append(decode(kind, self._sealing.opened_event(origin, seq, data)))
        return [model_of(payloads) for payloads in named]

    async def _exchanges(
        self, connection: Connection, chosen: Sequence[tuple[Any, str | None]]
    ) -> list[Exchange]:
        ids = [row[0] for row, _ in chosen]
        texts = {row[0]: row[1:] for row in map(tuple, await connection.fetch(sql("exchanges"), ids))}
        found = []
        for (id, at, stream, _, origin, turn_id, seq, doc), model in chosen:
            question, is_sealed, answer_seq, answer, answer_is_sealed = texts[id]
            asked = opened_text(self._sealing, origin, seq, question, is_sealed)
            answered = ""
            if answer_seq is not None:
                answered = opened_text(self._sealing, origin, answer_seq, answer, answer_is_sealed)
            found.append(Exchange(stream, turn_id, at, asked, answered, self._peer(turn_id, doc), model))
        return found

    def _hit(self, row: Any, words: Sequence[str]) -> Hit:
        _, stream, epoch, seq, turn_id, role, content, is_sealed, at, origin = row
        text = opened_text(self._sealing, origin, seq, content, is_sealed)
        return Hit(stream, Position(epoch, seq), turn_id or None, role, excerpt(text, words), at)


def _list(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)
