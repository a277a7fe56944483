"""One commit's request: encoded and checked before any store sees it, and the rules that admit it.

The rules are written once, over the few questions of `Standing`; each store answers them from where it
keeps its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from rhetor.domain.event import Payload, Position
from rhetor.errors import KeyReused, NameTaken, NotFound, StateConflict

from .base import Committed, Draft, Expect, Key, Record, Row, SourceOffset
from .encoding import encode, require_integer, require_text


class Entry(Struct, frozen=True, gc=False):
    """An event that is ready to be stored, and has no number yet."""

    payload: Payload
    data: bytes
    turn_id: str | None
    step: str | None
    at: int | None = None

    @classmethod
    def of(cls, draft: Draft) -> Entry:
        require_text("a turn's id or step", (draft.turn_id, draft.step))
        if draft.at is not None:
            require_integer("an event's time", draft.at)
        return cls(draft.payload, encode(draft.payload), draft.turn_id, draft.step, draft.at)

    def record(self, stream: str, epoch: str, seq: int, at: int) -> Record:
        """The committed event that it becomes there. `at`: of those that do not say when they happened."""
        at = at if self.at is None else self.at
        return Record(stream, epoch, seq, at, self.payload.type, self.turn_id, self.step, self.data)


class Append(Struct, frozen=True, gc=False):
    """The arguments of `Store.commit`. `at`: Unix time in milliseconds, of events that have none of their
    own."""

    stream: str
    at: int
    entries: Sequence[Entry]
    key: Key | None = None
    expects: Sequence[Expect] = ()
    rows: Sequence[Row] = ()
    drop: Sequence[tuple[str, str]] = ()
    sources: Sequence[SourceOffset] = ()
    base: tuple[str, Position] | None = None

    def require_storable(self) -> None:
        """Raises:
        Malformed: a text is not Unicode, or a number does not fit."""
        require_text("a stream's name", (self.stream,))
        for row in self.rows:
            require_text("a row", (row.kind, row.id, row.state, row.owner, row.parent, row.name))
            require_integer("a row's time", row.at)
        for kind, id in self.drop:
            require_text("a row", (kind, id))
        for expect in self.expects:
            require_text("a row", (expect.kind, expect.id))
        if self.key:
            require_text("an idempotency key", (self.key.scope, self.key.key, self.key.fingerprint))
        for source in self.sources:
            require_text("a source", (source.source,))
            require_integer("an offset", source.offset)
        if self.base:
            require_text("a base", (self.base[0], self.base[1].epoch))
            require_integer("a position", self.base[1].seq)


class Standing(Protocol):
    """What is stored when a commit's turn comes."""

    def kept(self, scope: str, key: str) -> tuple[str, Committed] | None:
        """The fingerprint and the result under an idempotency key."""
        ...

    def row(self, kind: str, id: str) -> tuple[str, int] | None:
        """A row's state and version."""
        ...

    def holder(self, kind: str, owner: str, name: str) -> str | None:
        """The id of the row that has the name."""
        ...

    def reaches(self, stream: str, position: Position) -> bool:
        """Whether the stream has, or had in an earlier incarnation, this position."""
        ...


def admit(append: Append, standing: Standing) -> Committed | None:
    """What the key gave the first time; None where the commit is to be made.

    The key comes first: a command that is sent again gets its first result, whatever holds by now.

    Raises:
        KeyReused, StateConflict, NameTaken, NotFound: as in `Store.commit`.
    """
    if append.key and (kept := standing.kept(append.key.scope, append.key.key)):
        fingerprint, committed = kept
        if fingerprint != append.key.fingerprint:
            raise KeyReused(append.key.key)
        return committed
    for expect in append.expects:
        _require_expected(expect, standing)
    if append.base and not standing.reaches(*append.base):
        raise NotFound("position", f"{append.base[0]}@{append.base[1]}")
    _require_names(append, standing)
    return None


def _require_expected(expect: Expect, standing: Standing) -> None:
    state, version = standing.row(expect.kind, expect.id) or (None, 0)
    absent = expect.version == 0
    if (state is None) is not absent or (expect.states is not None and state not in expect.states):
        raise StateConflict(expect.kind, expect.id, state)
    if expect.version is not None and version != expect.version:
        raise StateConflict(expect.kind, expect.id, state, changed=True)


def _require_names(append: Append, standing: Standing) -> None:
    if not append.rows:
        return
    # a row that this commit drops or puts again gives its old name free
    moving = {*append.drop, *((row.kind, row.id) for row in append.rows)}
    taken: dict[tuple[str, str, str], str] = {}
    for row in append.rows:
        if row.name is None:
            continue
        holder = standing.holder(row.kind, row.owner, row.name)
        others = holder is not None and (row.kind, holder) not in moving
        if others or taken.setdefault((row.kind, row.owner, row.name), row.id) != row.id:
            raise NameTaken(row.kind, row.name)
