"""Requests of a turn as the catalog keeps them: tool calls that the client runs, and permission requests.

A request is open, then answered or closed. So the first answer wins and a later one is rejected, also after
a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from rhetor.domain.event import PermissionAnswered, ToolReturned
from rhetor.store.base import Catalog, Committed, Draft, Expect, Key, Row, Store

Kind = Literal["call", "permission"]
KINDS: tuple[Kind, ...] = ("call", "permission")
OPEN, ANSWERED, CLOSED = "open", "answered", "closed"
ENDED = "the turn's end"  # answers a request that is still open then


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it is in the log. `data`: of its event; `step`: the plan's step that asked, if any;
    `answer`: the chosen option and who chose it."""

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
    """The id of a request's row: a peer's own ids are unique only within a stream."""
    return f"{stream}/{id}"


async def commit_answer(
    store: Store, request: Request, payload: ToolReturned | PermissionAnswered, key: Key | None
) -> Committed:
    """Commit an answer to a request that is open.

    Raises:
        StateConflict: it is not open any more.
    """
    return await store.commit(
        request.stream,
        [Draft(payload, request.turn_id, request.step)],
        key=key,
        expects=[Expect(request.kind, request.row_id, frozenset({OPEN}))],
        rows=[request.answered(payload).row(ANSWERED)],
    )


async def requests_of(catalog: Catalog, stream: str, turn_id: str) -> list[Request]:
    """The open requests of a turn, which an earlier hub may have begun."""
    found: list[Request] = []
    for kind in KINDS:
        rows = await catalog.find(kind, state=OPEN, parent=stream, limit=100_000)
        found += [request for request in map(Request.of, rows) if request.turn_id == turn_id]
    return found


async def left_open(catalog: Catalog, stream: str, turn_id: str) -> tuple[list[Draft], list[Row]]:
    """The events and rows that close the open requests of an earlier hub's turn."""
    drafts: list[Draft] = []
    rows: list[Row] = []
    for request in await requests_of(catalog, stream, turn_id):
        rows.append(request.row(CLOSED))
        if request.kind == "permission":
            drafts.append(Draft(PermissionAnswered(request.id, None, ENDED), turn_id, request.step))
    return drafts, rows
