"""The outbox: rows for answers that a forward must still deliver."""

from __future__ import annotations

import msgspec

from rhetor.domain.event import TurnCompleted, TurnEnd
from rhetor.store.base import Row

from .routing_table import RoutingTable
from .turns import TurnRow

DUE, DELIVERY = "due", "delivery"


def notify_relay(table: RoutingTable, row: TurnRow) -> None:
    """Wake the relay if the answer of this turn, which has ended, may have to be forwarded."""
    if (row.owner, row.peer) in table.forwards:
        table.outbox_changed.notify()


def outbox_rows(table: RoutingTable, row: TurnRow, end: TurnEnd, now: int) -> list[Row]:
    """The row to commit with a turn's end if its answer must be forwarded, by this hub or the next one.

    The row has no text: the answer is read from the log. `now`: Unix time in milliseconds.
    """
    if not isinstance(end, TurnCompleted) or not end.text.strip():
        return []
    if (row.owner, row.peer) not in table.forwards:
        return []
    doc = msgspec.json.encode({"turn": row.id})
    return [Row(DELIVERY, row.id, DUE, doc, owner=row.owner, parent=row.peer, at=now)]
