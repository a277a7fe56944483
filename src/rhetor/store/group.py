"""The commits of one transaction, which every database shares: each is checked against what is stored and
against the earlier commits of the transaction, and adds to what the transaction is going to write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec.structs import replace

from rhetor.domain.event import Position
from rhetor.errors import KeysUnavailable, RhetorError

from .base import Addition, Committed, Key, Record, Row
from .commit import Append, added, admit
from .incarnation import Incarnation
from .messages import said
from .requests import Landed, Outcome
from .sealed import Sealing

T = TypeVar("T")


class Group(ABC):
    """Checks commits, and collects what they write. A database implements the methods that read it.

    `version`: of the rows that were written last. `sealing`: seals what is written.
    """

    def __init__(self, version: int, new_epoch: Callable[[], str], sealing: Sealing) -> None:
        self.version = version
        self.new_epoch = new_epoch
        self.sealing = sealing
        self.events: list[tuple[Any, ...]] = []  # in the order of their columns
        self.texts: list[tuple[Any, ...]] = []
        self.rows: dict[tuple[str, str], Row | None] = {}  # None: dropped
        self.only_docs: set[tuple[str, str]] = set()  # the stored rows of which only the document changes
        self.keys: dict[tuple[str, str], tuple[str, Committed, int]] = {}
        self.sources: dict[str, int] = {}
        self.touched: dict[str, Incarnation] = {}  # the current incarnations that change
        self._epochs: dict[str, Incarnation] = {}  # the changed ones, also those that were replaced
        self._docs: dict[tuple[str, str], bytes] = {}  # the stored documents to which numbers are added
        self._names: dict[tuple[str, str, str], str] = {}  # the row that got a name last

    # what is stored, without what this transaction is going to write

    @abstractmethod
    def stored_key(self, scope: str, key: str) -> tuple[str, str, int, int, bytes] | None:
        """Return the fingerprint, epoch, first and last number and result of an idempotency key."""

    @abstractmethod
    def stored_row(self, kind: str, id: str) -> tuple[str, int] | None:
        """Return the state and the version of a row."""

    @abstractmethod
    def stored_holder(self, kind: str, owner: str, name: str) -> str | None:
        """Return the id of the row that has this name."""

    @abstractmethod
    def stored_doc(self, kind: str, id: str) -> bytes | None:
        """Return the document of a row as it is stored."""

    @abstractmethod
    def stored_stream(self, stream: str) -> Incarnation | None:
        """Return the current incarnation of a stream."""

    @abstractmethod
    def stored_epoch(self, epoch: str) -> Incarnation | None:
        """Return the incarnation with that epoch."""

    @abstractmethod
    def create(self, append: Append, epoch: str, base: Incarnation | None) -> int:
        """Create an incarnation, which becomes the current one of its stream, and return its id."""

    def require_own(self, stream: str) -> None:  # noqa: B027  # most databases need no check
        """Check that this writer may write the stream. Raises StreamElsewhere if not."""

    # Standing

    def kept(self, key: Key) -> tuple[bool, Committed] | None:
        if pending := self.keys.get((key.scope, key.key)):
            return pending[0] == key.fingerprint, replace(pending[1], replayed=True)
        stored = self.stored_key(key.scope, key.key)
        if stored is None:
            return None
        fingerprint, epoch, first, last, result = stored
        opened = self.sealing.opened_result(key.scope, key.key, result)
        is_same = self.sealing.is_fingerprint(fingerprint, key.fingerprint)
        return is_same, Committed(epoch, first, last, True, opened)

    def row(self, kind: str, id: str) -> tuple[str, int] | None:
        if (kind, id) in self.rows:
            pending = self.rows[kind, id]
            return (pending.state, pending.version) if pending else None
        return self.stored_row(kind, id)

    def holder(self, kind: str, owner: str, name: str) -> str | None:
        pending = self.rows.get((kind, self._names.get((kind, owner, name), "")))
        if pending and (pending.owner, pending.name) == (owner, name):
            return pending.id
        stored = self.stored_holder(kind, owner, name)
        return stored if stored is not None and (kind, stored) not in self.rows else None

    def reaches(self, stream: str, position: Position) -> bool:
        base = self._of_epoch(position.epoch)
        return base is not None and base.stream == stream and position.seq <= base.head

    # ----

    def append(self, append: Append) -> Landed:
        """Check a commit, and collect what it writes.

        Raises:
            KeyReused, StateConflict, NameTaken, NotFound, SealBroken, StreamElsewhere: it is rejected and
                changes nothing.
        """
        if (replayed := admit(append, self)) is not None:
            return Landed(replayed)
        self.require_own(append.stream)
        for each in append.adds:
            self._read_doc(each.kind, each.id)
        before = self._begun(append) if append.base else self.find(append.stream) or self._begun(append)
        records = self._add_events(before, append)
        after = before.grown(len(records))
        self.touch(after)
        committed = Committed(before.epoch, before.head + 1, after.head)
        if key := append.key:
            committed = replace(committed, result=key.result)
            self.keys[key.scope, key.key] = key.fingerprint, committed, append.at
        if append.rows or append.adds or append.drop:
            self.put_rows(append)
        if append.rows:
            committed = replace(committed, version=self.version)
        for source in append.sources:
            self.sources[source.source] = source.offset
        changed = records or append.base
        return Landed(committed, append.stream, after.standing() if changed else None, records)

    def find(self, stream: str) -> Incarnation | None:
        """Return the current incarnation of a stream, with what this transaction changes."""
        return self.touched.get(stream) or self.stored_stream(stream)

    def touch(self, incarnation: Incarnation) -> None:
        """Note that this is the current incarnation of its stream."""
        self.touched[incarnation.stream] = self._epochs[incarnation.epoch] = incarnation

    def put_rows(self, append: Append) -> None:
        """Drop and write rows, and add to them, for a commit that is accepted."""
        self.rows.update(dict.fromkeys(append.drop))
        self.only_docs.difference_update(append.drop)
        if append.rows or append.adds:
            self.version += 1
        for row in append.rows:
            self.only_docs.discard((row.kind, row.id))
            self.rows[row.kind, row.id] = replace(row, version=self.version)
            if row.name is not None:
                self._names[row.kind, row.owner, row.name] = row.id
        for each in append.adds:
            self._add(each)

    def collect_anew(self) -> None:
        """Forget what was collected, because it is written, and is read from the database from now on."""
        self.events, self.texts, self.rows, self.only_docs = [], [], {}, set()
        self.keys, self.sources, self._docs, self._names = {}, {}, {}, {}

    def remove(self, stream: str) -> None:
        """Forget what this transaction has changed of a stream that it removes."""
        self.touched.pop(stream, None)
        self._epochs = {epoch: each for epoch, each in self._epochs.items() if each.stream != stream}

    def columns_of(self, row: Row) -> tuple[Any, ...]:
        """Return a row in the order of the columns of the table `rows`, its document as it is stored."""
        doc = self.sealing.doc(row.kind, row.id, row.doc)
        return row.kind, row.id, str(row.state), doc, row.owner, row.parent, row.name, row.at, row.version

    def columns_of_keys(self) -> list[tuple[Any, ...]]:
        """Return the idempotency keys in the order of the columns of the table `keys`, as they are stored."""
        fingerprint, result = self.sealing.fingerprint, self.sealing.result
        return [
            (*place, fingerprint(given), result(*place, done.result), done.epoch, done.first, done.last, at)
            for place, (given, done, at) in self.keys.items()
        ]

    def _add(self, addition: Addition) -> None:
        place = addition.kind, addition.id
        row = self.rows.get(place)
        doc = row.doc if row else None
        if place not in self.rows and (doc := self._docs.get(place)) is not None:
            self.only_docs.add(place)
        self.rows[place] = replace(added(row, doc, addition), version=self.version)

    def _read_doc(self, kind: str, id: str) -> None:
        """Read a document to which numbers are added, before anything is changed: it may be unreadable."""
        if (kind, id) in self.rows or (kind, id) in self._docs:
            return
        if (stored := self.stored_doc(kind, id)) is not None:
            self._docs[kind, id] = self.sealing.opened_doc(kind, id, stored)

    def _begun(self, append: Append) -> Incarnation:
        """Begin a new incarnation of the stream. With a base, it replaces the current one, if any; without,
        there is none."""
        base = self._of_epoch(append.base[1].epoch) if append.base else None
        epoch = self.new_epoch()
        id = self.create(append, epoch, base)
        return Incarnation(id, append.stream, epoch, head=0, earliest=1, base=append.base, origin=epoch)

    def _add_events(self, before: Incarnation, append: Append) -> list[Record]:
        records: list[Record] = []
        sealing, origin = self.sealing, before.origin
        for seq, entry in enumerate(append.entries, start=before.head + 1):
            record = entry.record(append.stream, before.epoch, seq, append.at)
            records.append(record)
            at, kind, turn_id = record.at, record.type, record.turn_id
            data = sealing.event(origin, seq, record.data) if sealing.at_rest else record.data
            self.events.append((before.id, seq, at, kind, turn_id, record.step, data))
            if message := said(entry.payload):
                role, content = message
                text = sealing.text(origin, seq, content)
                self.texts.append((before.id, seq, turn_id or "", role, text, at))
        return records

    def _of_epoch(self, epoch: str) -> Incarnation | None:
        return self._epochs.get(epoch) or self.stored_epoch(epoch)


def outcome_of(apply: Callable[[T], Landed], request: T) -> Outcome:
    """Apply a request to a transaction, and return what becomes of it.

    Raises:
        KeysUnavailable: a part of what it writes may be prepared already, so the transaction must not go on.
    """
    try:
        return apply(request)
    except KeysUnavailable:
        raise
    except RhetorError as refused:
        return refused
