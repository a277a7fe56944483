"""The outbox: catalog rows for answers that the relay has not forwarded yet."""

from __future__ import annotations

import msgspec

from rhetor.domain.event import TurnCompleted, TurnEnd
from rhetor.store.base import Row

from .routing_table import RoutingTable
from .turns import TurnRow

DUE, DELIVERY = "due", "delivery"


def notify_relay(table: RoutingTable, row: TurnRow) -> None:
    """Wake the relay if a forward applies to this turn. Call it after the turn's end is committed."""
    if (row.owner, row.peer) in table.forwards:
        table.outbox_changed.notify()


def outbox_rows(table: RoutingTable, row: TurnRow, end: TurnEnd, now: int) -> list[Row]:
    """Return the rows to commit with a turn's end: one if its answer must be forwarded, else none.

    The row survives a restart of the hub. It holds no text, because the relay reads the answer from the log.
    `now`: Unix time in milliseconds.
    """
    if not isinstance(end, TurnCompleted) or not end.text.strip():
        return []
    if (row.owner, row.peer) not in table.forwards:
        return []
    doc = msgspec.json.encode({"turn": row.id})
    return [Row(DELIVERY, row.id, DUE, doc, owner=row.owner, parent=row.peer, at=now)]
