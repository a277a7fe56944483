"""Reads the incarnations of streams from the database."""

from __future__ import annotations

import sqlite3
from typing import Any

from rhetor.domain.event import Position
from rhetor.store.incarnation import Incarnation

_SELECT = """
SELECT i.id, i.stream, i.epoch, i.earliest, i.sealed_as, b.stream, b.epoch, i.base_seq,
       (SELECT max(seq) FROM events WHERE inc = i.id)
FROM incarnations i LEFT JOIN incarnations b ON b.id = i.base
"""


def present(connection: sqlite3.Connection, stream: str) -> Incarnation | None:
    """Return the stream's current incarnation, or None if the stream does not exist."""
    sql = f"{_SELECT} WHERE i.stream = ? AND i.present"
    return _of_row(connection.execute(sql, (stream,)).fetchone())


def incarnation_of(connection: sqlite3.Connection, epoch: str) -> Incarnation | None:
    """Return the incarnation with that epoch, or None."""
    return _of_row(connection.execute(f"{_SELECT} WHERE i.epoch = ?", (epoch,)).fetchone())


def _of_row(row: tuple[Any, ...] | None) -> Incarnation | None:
    if row is None:
        return None
    id, stream, epoch, earliest, sealed_as, base_stream, base_epoch, base_seq, last = row
    base = None if base_epoch is None else (base_stream, Position(base_epoch, base_seq))
    return Incarnation(id, stream, epoch, max(earliest - 1, last or 0), earliest, base, sealed_as or epoch)
