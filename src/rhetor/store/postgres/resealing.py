"""Goes through all stored values in the order of their keys, as `rhetor.store.resealing` says."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from rhetor.errors import NotFound, SealBroken
from rhetor.sealing.envelope import key_id_of
from rhetor.store.blobs import opened, place_of
from rhetor.store.resealing import BYTES, VALUES, Place, Step, resealed
from rhetor.store.sealed import Sealing

from .blobs import is_sealed_blob
from .connection import Connection
from .statements import sql

# the tables, and a key that comes before all others
_TABLES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("events", (0, 0)),
    ("texts", (0,)),
    ("rows", ("", "")),
    ("keys", ("", "")),
    ("blobs", ("",)),
)
_ROWS = 2  # in the list above
log = logging.getLogger(__name__)


class Pass:
    """One pass over all values. `retired`: the ids of keys whose values are sealed again."""

    def __init__(self, connection: Connection, sealing: Sealing, retired: Collection[bytes] = ()) -> None:
        self._connection = connection
        self._sealing = sealing
        self._retired = retired

    async def step(self, after: Place | None) -> Step:
        """Change some of the values behind `after`, in the caller's transaction."""
        sealed = self._sealing.may_be_sealed
        last = len(_TABLES) if sealed else _ROWS + 1  # else, only credentials are sealed
        after = after or Place(0 if sealed else _ROWS)
        table, before_all = _TABLES[after.table]
        rows = await self._connection.fetch(sql(f"reseal_{table}"), VALUES, *(after.key or before_all))
        changed = broken = size = 0
        place: Place | None = None
        for row in rows:
            try:
                changed += await self._change(table, len(before_all), row)
            except (SealBroken, NotFound) as error:
                broken += 1
                log.error("unreadable value", extra={"table": table, "reason": error.detail})
            size += len(row[-1])
            place = Place(after.table, tuple(row)[: len(before_all)])
            if size >= BYTES:
                break
        if self._sealing.new_keys:
            await self._connection.execute(sql("add_seals"), sorted(self._sealing.new_keys))
        if size >= BYTES or len(rows) == VALUES or (rows and table == "blobs"):
            return Step(place, changed, broken)
        return Step(Place(after.table + 1) if after.table + 1 < last else None, changed, broken)

    async def _change(self, table: str, width: int, row: Any) -> bool:
        values = tuple(row)
        if table == "texts":
            id, origin, seq, is_sealed, content = values
            values = id, origin, seq, content if is_sealed else content.decode()
        new = (
            self._blob(*values) if table == "blobs" else resealed(self._sealing, self._retired, table, values)
        )
        if new is None:
            return False
        await self._connection.execute(sql(f"resealed_{table}"), *values[:width], *new)
        return True

    def _blob(self, id: str, stored: bytes) -> tuple[bytes] | None:
        sealing, sealed = self._sealing, is_sealed_blob(id, stored)
        if not (key_id_of(stored) in self._retired if sealed else sealing.at_rest):
            return None
        content = opened(id, stored, sealing.require_ring()) if sealed else stored
        return (sealing.seal(content, place_of(id)),)
