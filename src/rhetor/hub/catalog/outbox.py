"""The outbox: rows for answers that a forward must still deliver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.event import TurnCompleted, TurnEnd
from rhetor.hub.catalog.turns import TurnRow
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

DUE, DELIVERY = "due", "delivery"  # the mark of an answer that is to be passed on


def notify_relay(state: State, row: TurnRow) -> None:
    """The turn has ended: its answer may be one that is to be passed on."""
    if (row.owner, row.peer) in state.routing_table.forwards:
        state.routing_table.outbox_changed.notify()


def outbox_rows(state: State, row: TurnRow, end: TurnEnd) -> list[Row]:
    """What is committed with a turn's end so that its answer is passed on, also by the next hub. It only says
    that: the words stay in the log."""
    if not isinstance(end, TurnCompleted) or not end.text.strip():
        return []
    if (row.owner, row.peer) not in state.routing_table.forwards:
        return []
    doc = msgspec.json.encode({"turn": row.id})
    return [Row(DELIVERY, row.id, DUE, doc, owner=row.owner, parent=row.peer, at=state.ids.now())]
