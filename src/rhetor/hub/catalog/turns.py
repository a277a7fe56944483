"""Turns and plans as catalog rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from rhetor.domain.turn import TurnState
from rhetor.store.base import Catalog, Expect, Row


class TurnRow(msgspec.Struct, frozen=True):
    """A turn as it is stored in the catalog.

    `stream`: the stream of its session or plan. `behind`: a sequence number of that stream before the turn's
    message, from which readers start. `at`: Unix time in milliseconds. `version`: the version of the row that
    the turn was read from.
    """

    id: str
    stream: str
    peer: str
    state: TurnState
    owner: str
    message_id: str
    behind: int
    step: str | None = None
    at: int = 0
    version: int = 0

    @property
    def unchanged(self) -> Expect:
        """The condition that the turn has not changed since it was read."""
        return Expect("turn", self.id, version=self.version)

    def become(self, state: TurnState) -> TurnRow:
        """Return a copy in another state."""
        return replace(self, state=state)

    def row(self) -> Row:
        """Return the catalog row."""
        doc = {"peer": self.peer, "message_id": self.message_id, "behind": self.behind, "step": self.step}
        return Row(
            "turn",
            self.id,
            self.state,
            msgspec.json.encode(doc),
            owner=self.owner,
            parent=self.stream,
            at=self.at,
        )

    @classmethod
    def of(cls, row: Row) -> TurnRow:
        """Decode a catalog row."""
        doc = msgspec.json.decode(row.doc)
        state = TurnState(row.state)
        return cls(
            row.id,
            row.parent,
            doc["peer"],
            state,
            row.owner,
            doc["message_id"],
            doc["behind"],
            doc["step"],
            row.at,
            row.version,
        )


class PlanRow(msgspec.Struct, frozen=True):
    """A plan as it is stored in the catalog.

    `steps`: the same data as in the event `plan.started`. `at`: Unix time in milliseconds.
    """

    id: str
    owner: str
    state: str
    steps: tuple[dict[str, Any], ...]
    at: int = 0

    def become(self, state: str) -> PlanRow:
        """Return a copy in another state."""
        return replace(self, state=state)

    def row(self) -> Row:
        """Return the catalog row."""
        return Row("plan", self.id, self.state, msgspec.json.encode(self.steps), owner=self.owner, at=self.at)

    @classmethod
    def of(cls, row: Row) -> PlanRow:
        """Decode a catalog row."""
        return cls(row.id, row.owner, row.state, tuple(msgspec.json.decode(row.doc)), row.at)


async def waiting_turns(catalog: Catalog, session_id: str, limit: int = 100_000) -> Sequence[TurnRow]:
    """Return the accepted turns of a session that have not started, in order of acceptance; at most the first
    `limit` of them."""
    rows = await catalog.find("turn", parent=session_id, state=TurnState.ACCEPTED, limit=limit)
    return [TurnRow.of(row) for row in rows]
