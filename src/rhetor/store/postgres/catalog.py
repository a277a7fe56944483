"""Reads rows of the catalog."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rhetor.store.base import CREDENTIALS, Place, Row, RowSum
from rhetor.store.sealed import Sealing

from .connection import Pool
from .statements import sql


class Rows:
    """The rows, as `Catalog` reads them."""

    def __init__(self, pool: Pool, sealing: Sealing) -> None:
        self._pool = pool
        self._sealing = sealing

    async def get(self, kind: str, id: str) -> Row | None:
        found = await self._pool.fetch(sql("row"), kind, id)
        return self._row(found[0]) if found else None

    async def find(
        self,
        kind: str,
        state: str | Collection[str] | None,
        owner: str | None,
        parent: str | None,
        name: str | None,
        limit: int,
        newest: bool,
    ) -> Sequence[Row]:
        states = [state] if isinstance(state, str) else None if state is None else list(state)
        statement = sql("find_newest" if newest else "find")
        rows = await self._pool.fetch(statement, kind, states, owner, parent, name, limit)
        found = [self._row(row) for row in rows]
        return found[::-1] if newest else found

    async def documents(
        self, kind: str, owner: str | None, parent: str | None
    ) -> Sequence[tuple[str, bytes]]:
        found = await self._pool.fetch(sql("documents"), kind, owner, parent)
        if self._sealing.may_be_sealed or kind in CREDENTIALS:
            return [(id, self._sealing.opened_doc(kind, id, doc)) for id, doc in found]
        return [(id, doc) for id, doc in found]

    async def counts(self, kind: str, state: Collection[str], owner: str) -> dict[str, int]:
        found = await self._pool.fetch(sql("counts"), kind, owner, list(state))
        return dict(map(tuple, found))

    async def has(self, kind: str, parent: str, state: Collection[str]) -> bool:
        [(exists,)] = await self._pool.fetch(sql("has"), kind, parent, list(state))
        return bool(exists)

    async def offset(self, source: str) -> int:
        found = await self._pool.fetch(sql("offset"), source)
        return int(found[0][0]) if found else 0

    async def at(self, places: Sequence[Place]) -> Sequence[Row]:
        kinds, ids = [kind for kind, _ in places], [id for _, id in places]
        return [self._row(row) for row in await self._pool.fetch(sql("rows_at"), kinds, ids)]

    async def sums(self, kinds: Collection[str]) -> Mapping[str, RowSum]:
        found = await self._pool.fetch(sql("row_sums"), list(kinds))
        return {kind: (number, int(versions)) for kind, number, versions in found}

    def _row(self, found: Any) -> Row:
        if not (self._sealing.may_be_sealed or found[0] in CREDENTIALS):
            return Row(*found)
        kind, id, state, doc, *others = found
        return Row(kind, id, state, self._sealing.opened_doc(kind, id, doc), *others)
