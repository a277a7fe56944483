"""Reads the rows of usage, and computes them in two other ways: by a fold over the log, and by loops."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import starmap
from typing import Any

import msgspec

from rhetor.domain import event as ev
from rhetor.domain.event import Position
from rhetor.domain.usage import Amounts, Cell, day_of
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.catalog.usage import KIND, SESSION, amounts_of
from rhetor.hub.catalog.usage import session_of as had_turn
from rhetor.hub.catalog.usage_of_log import UsageOfLog
from rhetor.store.base import Store

MANY = 1_000_000
ENDS = (ev.TurnCompleted, ev.TurnFailed, ev.TurnCancelled, ev.TurnInterrupted)
Sums = dict[Cell, Amounts]
Sessions = set[tuple[str, Cell]]


async def stored_usage(store: Store) -> tuple[Sums, Sessions]:
    """Return the rows as the hub keeps them."""
    sums = dict(starmap(amounts_of, await store.documents(KIND)))
    return _used(sums), set(starmap(had_turn, await store.documents(SESSION)))


async def folded_usage(store: Store) -> tuple[Sums, Sessions]:
    """Return what the fold over the whole log gives."""
    found = UsageOfLog(store)
    await found.read()
    return _used(found.amounts), set(found.sessions)


def _used(sums: Sums) -> Sums:
    """Leave out what was added and taken back."""
    return {cell: amounts for cell, amounts in sums.items() if amounts != Amounts()}


async def plain_sums(store: Store, by: str) -> dict[str, dict[str, Any]]:
    """Return the sums by group, from the JSON of all events in the streams' current incarnations."""
    found: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"turns": 0, "sessions": set(), "input": 0, "output": 0, "cost": Decimal(0), "priced": False}
    )
    for row in [*await store.find("session", limit=MANY), *await store.find("plan", limit=MANY)]:
        session = session_of(row) if row.kind == "session" else None
        head = await store.head(row.id)
        assert head is not None
        peers: dict[str | None, str] = {}
        models: dict[str | None, str] = {}
        for record in await store.page(row.id, Position(head.epoch, 0), MANY):
            data = msgspec.json.decode(record.data)
            if record.type == "turn.started":
                peers[record.turn_id] = data["peer"]
            if record.type == "usage.reported":
                models[record.turn_id] = data["model"] or ""
            group = {
                "day": day_of(record.at),
                "peer": session.peer if session else peers.get(record.turn_id, ""),
                "model": models.get(record.turn_id, ""),
                "project": (session.project_id or "") if session else "",
                "caller": row.owner,
            }[by]
            if record.type == "usage.reported":
                found[group]["input"] += data["input_tokens"]
                found[group]["output"] += data["output_tokens"]
                if data["cost"] is not None:
                    found[group]["cost"] += Decimal(data["cost"])
                    found[group]["priced"] = True
            if record.type in {kind.type for kind in ENDS} and record.turn_id in peers:
                found[group]["turns"] += 1
                if session:
                    found[group]["sessions"].add(row.id)
    return dict(found)
