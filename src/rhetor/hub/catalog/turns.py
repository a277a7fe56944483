"""Sessions, turns and plans as rows of the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rhetor.domain.turn import TurnState
from rhetor.store.base import Catalog, Expect, Row


@dataclass(frozen=True, slots=True)
class TurnRow:
    """A turn as the catalog keeps it.

    `stream`: of its session or plan. `behind`: a position of that stream before its message, so that the
    message is found without a search. `version`: of the row that it was read from.
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
        """The condition that the turn is still as it was read."""
        return Expect("turn", self.id, version=self.version)

    def become(self, state: TurnState) -> TurnRow:
        return replace(self, state=state)

    def row(self) -> Row:
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


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan as the catalog keeps it. `steps`: as `plan.started` shows them."""

    id: str
    owner: str
    state: str
    steps: tuple[dict[str, Any], ...]
    at: int = 0

    def become(self, state: str) -> PlanRow:
        return replace(self, state=state)

    def row(self) -> Row:
        return Row("plan", self.id, self.state, msgspec.json.encode(self.steps), owner=self.owner, at=self.at)

    @classmethod
    def of(cls, row: Row) -> PlanRow:
        return cls(row.id, row.owner, row.state, tuple(msgspec.json.decode(row.doc)), row.at)


async def waiting_turns(catalog: Catalog, session_id: str) -> Sequence[TurnRow]:
    """Turns that were accepted and have not started, in order of acceptance."""
    rows = await catalog.find("turn", parent=session_id, state=TurnState.ACCEPTED)
    return [TurnRow.of(row) for row in rows]
