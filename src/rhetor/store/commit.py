"""The rules of a commit, which all stores share: encoding it, checking it, and deciding whether it is
accepted.

The rules read the stored state through `Standing`, which each store implements.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.event import Payload, Position
from rhetor.domain.secrets import Secrets
from rhetor.errors import KeyReused, NameTaken, NotFound, StateConflict

from .base import Addition, Committed, Draft, Expect, Key, Record, Row, SourceOffset
from .encoding import decode, encode, require_integer, require_text

EXACT = Context(prec=1_000)  # digits of a sum of decimals
_numbers = msgspec.json.Decoder(list[int | Decimal])


class Entry(Struct, frozen=True, gc=False):
    """An encoded event that has no number yet."""

    payload: Payload
    data: bytes
    turn_id: str | None
    step: str | None
    at: int | None = None

    @classmethod
    def of(cls, draft: Draft) -> Entry:
        """Return the entry of a draft.

        Raises:
            Malformed: as in `Store.commit`.
        """
        require_text("a turn's id or step", (draft.turn_id, draft.step))
        if draft.at is not None:
            require_integer("an event's time", draft.at)
        return cls(draft.payload, encode(draft.payload), draft.turn_id, draft.step, draft.at)

    def record(self, stream: str, epoch: str, seq: int, at: int) -> Record:
        """Return the committed event. `at`: the time of the commit, used if the entry has no time."""
        at = at if self.at is None else self.at
        return Record(stream, epoch, seq, at, self.payload.type, self.turn_id, self.step, self.data)


class Append(Struct, frozen=True, gc=False):
    """The arguments of `Store.commit`. `at`: the time of the commit, as Unix time in milliseconds."""

    stream: str
    at: int
    entries: Sequence[Entry]
    key: Key | None = None
    expects: Sequence[Expect] = ()
    rows: Sequence[Row] = ()
    adds: Sequence[Addition] = ()
    drop: Sequence[tuple[str, str]] = ()
    sources: Sequence[SourceOffset] = ()
    base: tuple[str, Position] | None = None

    def require_storable(self) -> None:
        """Check texts and numbers.

        Raises:
            Malformed: a text is not valid Unicode, or a number is negative or has more than 63 bits.
        """
        require_text("a stream's name", (self.stream,))
        for row in self.rows:
            require_text("a row", (row.kind, row.id, row.state, row.owner, row.parent, row.name))
            require_integer("a row's time", row.at)
        for each in self.adds:
            require_text("a row", (each.kind, each.id, each.owner, each.parent))
            require_integer("a row's time", each.at)
            for number in each.numbers:
                require_integer("a number", abs(int(number)))
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


def masked(append: Append, secrets: Secrets) -> Append:
    """Return the commit with the secrets masked in its events and in the documents of its rows."""
    if not secrets:
        return append
    rows = [replace(row, doc=secrets.mask_json(row.doc)) for row in append.rows]
    return replace(append, entries=[_masked(entry, secrets) for entry in append.entries], rows=rows)


def added(row: Row | None, doc: bytes | None, addition: Addition) -> Row:
    """Return the row with the numbers added. `row`: as it was, if that is known; `doc`: of that row, None if
    there is none."""
    numbers = addition.numbers
    if doc is not None:
        pairs = zip(_numbers.decode(doc), numbers, strict=True)
        numbers = tuple(_sum(before, more) for before, more in pairs)
    new = msgspec.json.encode(numbers)
    if row is not None:
        return replace(row, doc=new)
    kind, id, owner, parent = addition.kind, addition.id, addition.owner, addition.parent
    return Row(kind, id, "kept", new, owner, parent, at=addition.at)


def _sum(before: int | Decimal, more: int | Decimal) -> int | Decimal:
    if isinstance(before, int) and isinstance(more, int):
        return before + more
    return EXACT.add(Decimal(before), Decimal(more))


def _masked(entry: Entry, secrets: Secrets) -> Entry:
    data = secrets.mask_json(entry.data)
    if data == entry.data:
        return entry
    return replace(entry, payload=decode(entry.payload.type, data), data=data)


class Standing(Protocol):
    """The stored state against which a commit is checked."""

    def kept(self, key: Key) -> tuple[bool, Committed] | None:
        """Return what is stored under an idempotency key, if anything: whether the fingerprint is the same,
        and the result."""
        ...

    def row(self, kind: str, id: str) -> tuple[str, int] | None:
        """Return the state and the version of a row, or None if it does not exist."""
        ...

    def holder(self, kind: str, owner: str, name: str) -> str | None:
        """Return the id of the row that has this name, if any."""
        ...

    def reaches(self, stream: str, position: Position) -> bool:
        """Whether the position exists in the stream's current incarnation or in an earlier one."""
        ...


def admit(append: Append, standing: Standing) -> Committed | None:
    """Return None if the commit is accepted, or the result of the first commit with the same key.

    The key is checked first, so a repeated command gets its first result even if its conditions are no longer
    met.

    Raises:
        KeyReused, StateConflict, NameTaken, NotFound: as in `Store.commit`.
    """
    if append.key and (kept := standing.kept(append.key)):
        is_same, committed = kept
        if not is_same:
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
    # a row that this commit drops or writes releases its old name
    moving = {*append.drop, *((row.kind, row.id) for row in append.rows)}
    taken: dict[tuple[str, str, str], str] = {}
    for row in append.rows:
        if row.name is None:
            continue
        holder = standing.holder(row.kind, row.owner, row.name)
        others = holder is not None and (row.kind, holder) not in moving
        if others or taken.setdefault((row.kind, row.owner, row.name), row.id) != row.id:
            raise NameTaken(row.kind, row.name)
