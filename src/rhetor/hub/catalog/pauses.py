"""Paused turns as catalog rows, so that a later hub can take a pause up again."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from rhetor.domain.budget import Measure
from rhetor.domain.event import PermissionOption
from rhetor.domain.quota import shown_time
from rhetor.domain.timestamps import timestamp
from rhetor.store.base import Catalog, Row

KIND = "pause"
PAUSED, OVER = "paused", "over"  # states of the rows
Cause = Literal["quota", "budget"]
_CAUSES: dict[Cause, str] = {"quota": "usage limit", "budget": "budget"}


class Raise(msgspec.Struct, frozen=True):
    """A limit of the budget `name` that is reached, and the value to which it can be raised. Amounts are
    numbers of tokens, or USD as decimal strings."""

    name: str
    limit: Measure
    value: int | str
    spent: int | str
    raise_to: int | str


class Question(msgspec.Struct, frozen=True):
    """Why a turn is paused, and how it can continue.

    `reason`: one sentence for a person. `options`: the ways to continue, of which one is chosen. `resets_at`:
    when the cause ends, as Unix time in milliseconds; None if that is not known. `then`: the option that is
    chosen at that time if nobody has answered; empty if the turn waits for an answer without limit.
    `follows`: the turn was paused for this already, and only the ways to continue have changed. `raises`: the
    limit of a budget that is the cause.
    """

    cause: Cause
    reason: str
    options: tuple[PermissionOption, ...]
    resets_at: int | None = None
    then: str = ""
    follows: bool = False
    raises: Raise | None = None

    def without(self, option_id: str) -> Question:
        """Return the question to ask again because an option is not possible any more."""
        options = tuple(option for option in self.options if option.option_id != option_id)
        return replace(self, options=options, follows=True)

    @property
    def shown(self) -> str:
        """One line for a person: since what, and until when at the earliest."""
        until = "" if self.resets_at is None else f" until {shown_time(self.resets_at)}"
        return f"paused by its {_CAUSES[self.cause]}{until}: {self.reason}"

    @property
    def detail(self) -> dict[str, Any]:
        """The `detail` of the permission request."""
        resets_at = None if self.resets_at is None else timestamp(self.resets_at)
        return {
            "paused": self.cause,
            "reason": self.reason,
            "resets_at": resets_at,
            "then": self.then or None,
            **({} if self.raises is None else {"budget": msgspec.to_builtins(self.raises)}),
        }


class Pause(msgspec.Struct, frozen=True):
    """A paused turn, as it is stored in the catalog. `id`: the id of the turn.

    `request_id`: its permission request. `begun`: the peer had begun to answer. `called`: the peers that have
    been called for the turn, in order. `at`: since when, as Unix time in milliseconds.
    """

    id: str
    stream: str
    owner: str
    peer: str
    request_id: str
    question: Question
    begun: bool
    called: tuple[str, ...]
    at: int

    def row(self, state: str) -> Row:
        """Return the catalog row with `state`: `PAUSED` or `OVER`."""
        doc = msgspec.json.encode(self)
        return Row(KIND, self.id, state, doc, owner=self.owner, parent=self.stream, at=self.at)

    @classmethod
    def of(cls, row: Row) -> Pause:
        """Decode a catalog row."""
        return msgspec.json.decode(row.doc, type=cls)


async def paused_turns(catalog: Catalog) -> dict[str, Pause]:
    """Return all pauses, by the ids of their turns."""
    rows = await catalog.find(KIND, state=PAUSED, limit=100_000)
    return {row.id: Pause.of(row) for row in rows}


async def ended_pause(catalog: Catalog, turn_id: str) -> list[Row]:
    """Return the row that ends the pause of a turn; nothing if it is not paused."""
    row = await catalog.get(KIND, turn_id)
    return [Pause.of(row).row(OVER)] if row is not None and row.state == PAUSED else []
