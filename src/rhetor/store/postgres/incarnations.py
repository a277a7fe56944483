"""Reads incarnations from rows of the statements `head`, `epoch`, `epochs` and `lock_streams`."""

from __future__ import annotations

import asyncpg

from rhetor.domain.event import Position
from rhetor.store.incarnation import Incarnation


def incarnation_of(row: asyncpg.Record) -> Incarnation:
    id, stream, epoch, head, earliest, sealed_as, base_stream, base_epoch, base_seq, node = row
    base = None if base_epoch is None else (base_stream, Position(base_epoch, base_seq))
    return Incarnation(id, stream, epoch, max(earliest - 1, head), earliest, base, sealed_as or epoch, node)
