"""A question of a turn as the catalog keeps it: a tool call, or a request for permission.

It is open, then answered or closed, so that the first answer wins, and one that comes too late is told so,
also after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rhetor.domain.event import PermissionAnswered, ToolReturned
from rhetor.store.base import Committed, Draft, Expect, Key, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

Kind = Literal["call", "permission"]
KINDS: tuple[Kind, ...] = ("call", "permission")
OPEN, ANSWERED, CLOSED = "open", "answered", "closed"
ENDED = "the turn's end"  # who answers a request that nobody answered until then


@dataclass(frozen=True, slots=True)
class Request:
    """One question as it is in the log. `data`: what its event says; `step`: of a plan, where one asked;
    `answer`: what a request was answered, and by whom."""

    kind: Kind
    id: str
    stream: str
    turn_id: str
    owner: str
    peer: str
    data: dict[str, Any]
    step: str | None = None
    state: str = OPEN
    at: int = 0
    answer: dict[str, Any] | None = None

    @property
    def row_id(self) -> str:
        return row_id(self.stream, self.id)

    def row(self, state: str) -> Row:
        doc = msgspec.json.encode(replace(self, state=state))
        return Row(self.kind, self.row_id, state, doc, owner=self.owner, parent=self.stream, at=self.at)

    def answered(self, payload: ToolReturned | PermissionAnswered) -> Request:
        if isinstance(payload, ToolReturned):
            return self
        return replace(self, answer={"option_id": payload.option_id, "by": payload.by})

    @classmethod
    def of(cls, row: Row) -> Request:
        return msgspec.json.decode(row.doc, type=cls)


def row_id(stream: str, id: str) -> str:
    """A peer's ids are its own only within a stream."""
    return f"{stream}/{id}"


async def commit_answer(
    state: State, asked: Request, payload: ToolReturned | PermissionAnswered, key: Key | None
) -> Committed:
    """Raises:
    StateConflict: it is not open any more."""
    committed = await state.store.commit(
        asked.stream,
        [Draft(payload, asked.turn_id, asked.step)],
        key=key,
        expects=[Expect(asked.kind, asked.row_id, frozenset({OPEN}))],
        rows=[asked.answered(payload).row(ANSWERED)],
    )
    if asked.kind == "permission":
        state.requests_changed.notify()
    return committed


async def requests_of(state: State, stream: str, turn_id: str) -> list[Request]:
    """What a turn has asked and was not told yet, also that of an earlier hub."""
    found: list[Request] = []
    for kind in KINDS:
        rows = await state.store.find(kind, state=OPEN, parent=stream, limit=100_000)
        found += [asked for asked in map(Request.of, rows) if asked.turn_id == turn_id]
    return found


async def left_open(state: State, stream: str, turn_id: str) -> tuple[list[Draft], list[Row]]:
    """What an earlier hub's turn had asked and was not told: closed, as at a turn's end."""
    drafts: list[Draft] = []
    rows: list[Row] = []
    for asked in await requests_of(state, stream, turn_id):
        rows.append(asked.row(CLOSED))
        if asked.kind == "permission":
            drafts.append(Draft(PermissionAnswered(asked.id, None, ENDED), turn_id, asked.step))
    return drafts, rows
