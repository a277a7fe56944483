"""The outbox: catalog rows for answers that the relay has not forwarded yet."""

from __future__ import annotations

import msgspec

from rhetor.domain.event import TurnCompleted, TurnEnd
from rhetor.domain.project import PROJECT
from rhetor.store.base import Row

from .routing_table import RoutingTable
from .turns import TurnRow

DUE, DELIVERY = "due", "delivery"


def notify_relay(table: RoutingTable, row: TurnRow, project: str | None = None) -> None:
    """Wake the relay if a forward applies to this turn. Call it after the turn's end is committed."""
    if _sources(table, row, project):
        table.outbox_changed.notify()


def outbox_rows(
    table: RoutingTable, row: TurnRow, end: TurnEnd, now: int, project: str | None = None
) -> list[Row]:
    """Return the rows to commit with a turn's end: one for each forward of its answer, that of its peer and
    that of its session's `project`.

    The rows survive a restart of the hub. They hold no text, because the relay reads the answer from the log.
    `now`: Unix time in milliseconds.
    """
    if not isinstance(end, TurnCompleted) or not end.text.strip():
        return []
    doc = msgspec.json.encode({"turn": row.id})
    return [
        Row(DELIVERY, id, DUE, doc, owner=row.owner, parent=source, at=now)
        for id, source in _sources(table, row, project)
    ]


def _sources(table: RoutingTable, row: TurnRow, project: str | None) -> list[tuple[str, str]]:
    """Return the sources of the forwards that apply to this turn, each with the id of its row."""
    sources = [(row.id, row.peer)]
    if project is not None:
        sources.append((f"{row.id}/project", PROJECT + project))
    return [(id, source) for id, source in sources if (row.owner, source) in table.forwards]


def turn_of(delivery: Row) -> str:
    """Return the id of the turn whose answer is to be delivered."""
    id: str = msgspec.json.decode(delivery.doc)["turn"]
    return id
