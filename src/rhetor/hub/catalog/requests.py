"""Requests of a turn as catalog rows: tool calls that the client runs, and permission requests.

A request is open, then answered or closed. The first answer wins, and later answers are rejected, even after
a restart.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import PermissionAnswered, ToolReturned
from rhetor.store.base import Catalog, Committed, Draft, Expect, Key, Row, Store

Kind = Literal["call", "permission"]
KINDS: tuple[Kind, ...] = ("call", "permission")
OPEN, ANSWERED, CLOSED = "open", "answered", "closed"
ENDED = "the turn's end"  # the value of `by` if the request was still open when its turn ended


class Request(msgspec.Struct, frozen=True):
    """A request as it is stored in the catalog.

    `data`: the data of the event that made the request. `step`: the step of a plan that made it, if any.
    `at`: when it was made, as Unix time in milliseconds. `answer`: the chosen option or the answers, and
    who gave them, for permission requests.
    """

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
        """Return the catalog row with `state`: `OPEN`, `ANSWERED` or `CLOSED`."""
        doc = msgspec.json.encode(replace(self, state=state))
        return Row(self.kind, self.row_id, state, doc, owner=self.owner, parent=self.stream, at=self.at)

    def with_answer(self, payload: ToolReturned | PermissionAnswered) -> Request:
        """Return a copy that records who answered a permission request and how."""
        if isinstance(payload, ToolReturned):
            return self
        given = {} if payload.answers is msgspec.UNSET else {"answers": payload.answers}
        return replace(self, answer={"option_id": payload.option_id, "by": payload.by, **given})

    @classmethod
    def of(cls, row: Row) -> Request:
        """Decode a catalog row."""
        return msgspec.json.decode(row.doc, type=cls)


def row_id(stream: str, id: str) -> str:
    """Return the id of a request's row. Request ids are unique only within a stream."""
    return f"{stream}/{id}"


async def commit_answer(
    store: Store, request: Request, payload: ToolReturned | PermissionAnswered, key: Key | None
) -> Committed:
    """Commit an answer to an open request.

    Raises:
        StateConflict: the request is no longer open.
        KeyReused: `key` was used for another command.
        StoreRefused: the store rejected the commit; nothing was stored.
    """
    return await store.commit(
        request.stream,
        [Draft(payload, request.turn_id, request.step)],
        key=key,
        expects=[Expect(request.kind, request.row_id, frozenset({OPEN}))],
        rows=[request.with_answer(payload).row(ANSWERED)],
    )


async def open_requests_of(catalog: Catalog, stream: str, turn_id: str) -> list[Request]:
    """Return the open requests of a turn, including a turn that an earlier hub started."""
    found: list[Request] = []
    for kind in KINDS:
        rows = await catalog.find(kind, state=OPEN, parent=stream, limit=100_000)
        found += [request for request in map(Request.of, rows) if request.turn_id == turn_id]
    return found


async def closing_requests(catalog: Catalog, stream: str, turn_id: str) -> tuple[list[Draft], list[Row]]:
    """Return the events and rows that close all open requests of a turn."""
    drafts: list[Draft] = []
    rows: list[Row] = []
    for request in await open_requests_of(catalog, stream, turn_id):
        rows.append(request.row(CLOSED))
        if request.kind == "permission":
            drafts.append(Draft(PermissionAnswered(request.id, None, ENDED), turn_id, request.step))
    return drafts, rows
