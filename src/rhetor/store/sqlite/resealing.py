"""Goes through all stored values, in the order of their keys: seals the plain ones that are to be sealed, and
seals again those with a retired key. Each step changes some of them, so that others can write in between.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct

from rhetor.errors import SealBroken
from rhetor.store.resealing import BYTES, VALUES, Place, Step, resealed
from rhetor.store.sealed import Sealing

log = logging.getLogger(__name__)


class _Table(Struct, frozen=True):
    """How a table is read and changed. The rows of `select` begin with the key, and end with the value."""

    name: str
    key: tuple[str, ...]
    select: str
    update: str


_ORIGIN = "coalesce(i.sealed_as, i.epoch)"
_TABLES = (
    _Table(
        "events",
        ("inc", "seq"),
        f"SELECT inc, seq, {_ORIGIN}, data FROM events JOIN incarnations i ON i.id = inc",
        "UPDATE events SET data = ? WHERE inc = ? AND seq = ?",
    ),
    _Table(
        "texts",
        ("t.id",),
        f"SELECT t.id, {_ORIGIN}, seq, content FROM texts t JOIN incarnations i ON i.id = inc",
        "UPDATE texts SET content = ? WHERE id = ?",
    ),
    _Table(
        "rows",
        ("kind", "id"),
        "SELECT kind, id, doc FROM rows",
        "UPDATE rows SET doc = ? WHERE kind = ? AND id = ?",
    ),
    _Table(
        "keys",
        ("scope", "key"),
        "SELECT scope, key, fingerprint, result FROM keys",
        "UPDATE keys SET fingerprint = ?, result = ? WHERE scope = ? AND key = ?",
    ),
)
_ROWS = 2  # in the list above


class Pass:
    """One pass over all values. `retired`: the ids of keys whose values are sealed again."""

    def __init__(
        self, connection: sqlite3.Connection, sealing: Sealing, retired: Collection[bytes] = ()
    ) -> None:
        self._connection = connection
        self._sealing = sealing
        self._retired = retired

    def step(self, after: Place | None) -> Step:
        """Change some of the values behind `after`, in the caller's transaction."""
        last = len(_TABLES) if self._sealing.may_be_sealed else _ROWS + 1  # else, only credentials are sealed
        after = after or Place(0 if self._sealing.may_be_sealed else _ROWS)
        table = _TABLES[after.table]
        rows, more = self._rows(table, after.key)
        changed = broken = 0
        for row in rows:
            try:
                changed += self._change(table, row)
            except SealBroken as error:
                broken += 1
                log.error("unreadable value", extra={"table": table.name, "reason": error.detail})
        if more:
            return Step(Place(after.table, rows[-1][: len(table.key)]), changed, broken)
        return Step(Place(after.table + 1) if after.table + 1 < last else None, changed, broken)

    def _rows(self, table: _Table, after: tuple[Any, ...]) -> tuple[Sequence[tuple[Any, ...]], bool]:
        """Return the next rows, and whether there are more. What is written meanwhile need not be seen: it is
        sealed with the current key, and one could follow it for ever."""
        columns = ", ".join(table.key)
        where = f"WHERE ({columns}) > ({', '.join('?' * len(after))})" if after else ""
        cursor = self._connection.execute(f"{table.select} {where} ORDER BY {columns} LIMIT {VALUES}", after)
        rows: list[tuple[Any, ...]] = []
        size = 0
        for row in cursor:
            rows.append(row)
            size += len(row[-1])
            if size >= BYTES:
                break
        cursor.close()
        return rows, len(rows) == VALUES or size >= BYTES

    def _change(self, table: _Table, row: tuple[Any, ...]) -> bool:
        values = resealed(self._sealing, self._retired, table.name, row)
        if values is None:
            return False
        self._connection.execute(table.update, (*values, *row[: len(table.key)]))
        return True
