"""One transaction of the writer: the requests of a batch, in order.

Each request is checked against what is stored and against the earlier requests of the batch. Then all are
written together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from rhetor.domain.event import Event, Folded, Position
from rhetor.errors import NotFound
from rhetor.store.base import Addition, Committed, Key, Record, Row
from rhetor.store.commit import Append, added, admit
from rhetor.store.messages import said

from .incarnation import Incarnation, incarnation_of, present
from .requests import Fold, ForgetKeys, ForgetStream, Landed, Renew, Request, Sweep, Truncate
from .resealing import Pass
from .sealed import Sealing, note_keys

FEW_ROWS = 6  # of which most commits have no more
MAX_ROWS = 64  # per statement: more are not faster, and a longer prepared statement takes more memory

SWEEP = 2000  # events that are deleted at a time


class Transaction:
    """Checks and collects the requests of a batch between BEGIN and COMMIT.

    `known`: incarnations as of the last transaction. When this transaction is committed, the writer remembers
    `touched` (the incarnations that it changed), `forgotten` (the streams that it removed), `text_id` (of the
    next text) and `version` (of the rows that were written last). `sealing`: seals what is written.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        known: Mapping[str, Incarnation],
        text_id: int,
        version: int,
        new_epoch: Callable[[], str],
        sealing: Sealing,
    ) -> None:
        self._connection = connection
        self._sealing = sealing
        self._known = known
        self._new_epoch = new_epoch
        self._events: list[tuple[Any, ...]] = []
        self._texts: list[tuple[Any, ...]] = []
        self._rows: dict[tuple[str, str], Row | None] = {}  # None: dropped
        self._only_docs: set[tuple[str, str]] = set()  # the stored rows of which only the document changes
        self._docs: dict[tuple[str, str], bytes] = {}  # the stored documents to which numbers are added
        self._names: dict[tuple[str, str, str], str] = {}  # the row that got a name last
        self._keys: dict[tuple[str, str], tuple[str, Committed, int]] = {}
        self._sources: dict[str, int] = {}
        self.text_id = text_id
        self.version = version
        self.touched: dict[str, Incarnation] = {}
        self.forgotten: set[str] = set()

    def apply(self, request: Request) -> Landed:
        """Check a request, and prepare what it writes.

        Raises:
            KeyReused, StateConflict, NameTaken, NotFound, SealBroken: it is rejected and changes nothing.
        """
        match request:
            case Append():
                return self._append(request)
            case Fold(stream, folds):
                return self._fold(self._require(stream), folds)
            case Truncate(stream, before):
                return self._truncate(self._require(stream), before)
            case Sweep(stream):
                return self._sweep(self._require(stream))
            case Renew(after, retired):
                self._write_events()
                return Landed(Pass(self._connection, self._sealing, retired).step(after))
            case ForgetKeys(retired):
                forgotten = [(key,) for key in retired]
                self._connection.executemany("DELETE FROM seals WHERE key = ?", forgotten)
                return Landed(None)
            case ForgetStream(stream, dropping):
                return self._forget(self._require(stream).stream, dropping)

    def write(self) -> None:
        """Write everything that was accepted."""
        self._write_events()
        if self._texts:
            self._write_texts()
        if self._rows:
            self._write_rows()
        if self._keys:
            self._write_keys()
        if self._sources:
            sources = list(self._sources.items())
            insert(self._connection, "INSERT OR REPLACE INTO sources (source, offset)", sources)
        if self._sealing.new_keys:
            note_keys(self._connection, self._sealing)

    # Standing: the stored state, including what this transaction is about to write

    def kept(self, key: Key) -> tuple[bool, Committed] | None:
        if pending := self._keys.get((key.scope, key.key)):
            return pending[0] == key.fingerprint, replace(pending[1], replayed=True)
        row = self._connection.execute(
            "SELECT fingerprint, epoch, first, last, result FROM keys WHERE scope = ? AND key = ?",
            (key.scope, key.key),
        ).fetchone()
        if row is None:
            return None
        result = self._sealing.opened_result(key.scope, key.key, row[4])
        is_same = self._sealing.is_fingerprint(row[0], key.fingerprint)
        return is_same, Committed(row[1], row[2], row[3], True, result)

    def row(self, kind: str, id: str) -> tuple[str, int] | None:
        if (kind, id) in self._rows:
            pending = self._rows[kind, id]
            return (pending.state, pending.version) if pending else None
        row: tuple[str, int] | None = self._connection.execute(
            "SELECT state, version FROM rows WHERE kind = ? AND id = ?", (kind, id)
        ).fetchone()
        return row

    def holder(self, kind: str, owner: str, name: str) -> str | None:
        pending = self._rows.get((kind, self._names.get((kind, owner, name), "")))
        if pending and (pending.owner, pending.name) == (owner, name):
            return pending.id
        stored = self._connection.execute(
            "SELECT id FROM rows WHERE kind = ? AND owner = ? AND name = ?", (kind, owner, name)
        ).fetchone()
        return stored[0] if stored and (kind, stored[0]) not in self._rows else None

    def reaches(self, stream: str, position: Position) -> bool:
        base = self._of_epoch(position.epoch)
        return base is not None and base.stream == stream and position.seq <= base.head

    # ----

    def _append(self, append: Append) -> Landed:
        if (replayed := admit(append, self)) is not None:
            return Landed(replayed)
        for each in append.adds:
            self._read_doc(each.kind, each.id)
        before = self._begun(append) if append.base else self._find(append.stream) or self._begun(append)
        records = self._add_events(before, append)
        after = before.grown(len(records))
        self.touched[append.stream] = after
        committed = Committed(before.epoch, before.head + 1, after.head)
        if key := append.key:
            committed = replace(committed, result=key.result)
            self._keys[key.scope, key.key] = key.fingerprint, committed, append.at
        if append.rows or append.adds or append.drop:
            self._put_rows(append)
        if append.rows:
            committed = replace(committed, version=self.version)
        for source in append.sources:
            self._sources[source.source] = source.offset
        changed = records or append.base
        return Landed(committed, append.stream, after.standing() if changed else None, records)

    def _put_rows(self, append: Append) -> None:
        self._rows.update(dict.fromkeys(append.drop))
        self._only_docs.difference_update(append.drop)
        if append.rows or append.adds:
            self.version += 1
        for row in append.rows:
            self._only_docs.discard((row.kind, row.id))
            self._rows[row.kind, row.id] = replace(row, version=self.version)
            if row.name is not None:
                self._names[row.kind, row.owner, row.name] = row.id
        for each in append.adds:
            self._add(each)

    def _add(self, addition: Addition) -> None:
        place = addition.kind, addition.id
        row = self._rows.get(place)
        doc = row.doc if row else None
        if place not in self._rows and (doc := self._docs.get(place)) is not None:
            self._only_docs.add(place)
        self._rows[place] = replace(added(row, doc, addition), version=self.version)

    def _read_doc(self, kind: str, id: str) -> None:
        """Read a document to which numbers are added, before anything is changed: it may be unreadable."""
        if (kind, id) not in self._rows and (kind, id) not in self._docs:
            sql = "SELECT doc FROM rows WHERE kind = ? AND id = ?"
            if (stored := self._connection.execute(sql, (kind, id)).fetchone()) is not None:
                self._docs[kind, id] = self._sealing.opened_doc(kind, id, stored[0])

    def _begun(self, append: Append) -> Incarnation:
        """Create a new incarnation of the stream. With a base, it replaces the current one, if any; without,
        there is none."""
        base = self._of_epoch(append.base[1].epoch) if append.base else None
        epoch = self._new_epoch()
        if append.base:
            sql = "UPDATE incarnations SET present = 0 WHERE stream = ? AND present"
            self._connection.execute(sql, (append.stream,))
        cursor = self._connection.execute(
            "INSERT INTO incarnations (stream, epoch, base, base_seq) VALUES (?, ?, ?, ?)",
            (append.stream, epoch, base and base.id, append.base and append.base[1].seq),
        )
        assert cursor.lastrowid is not None
        return Incarnation(
            cursor.lastrowid, append.stream, epoch, head=0, earliest=1, base=append.base, origin=epoch
        )

    def _add_events(self, before: Incarnation, append: Append) -> list[Record]:
        records: list[Record] = []
        sealing, origin = self._sealing, before.origin
        for seq, entry in enumerate(append.entries, start=before.head + 1):
            record = entry.record(append.stream, before.epoch, seq, append.at)
            records.append(record)
            at, kind, turn_id = record.at, record.type, record.turn_id
            data = sealing.event(origin, seq, record.data) if sealing.at_rest else record.data
            self._events.append((before.id, seq, at, kind, turn_id, record.step, data))
            if message := said(entry.payload):
                role, content = message
                text = sealing.text(origin, seq, content)
                self._texts.append((self.text_id, before.id, seq, turn_id or "", role, text, at))
                self.text_id += 1
        return records

    def _fold(self, present: Incarnation, folds: Sequence[Event]) -> Landed:
        self._write_events()
        went, records = 0, []
        for fold in folds:
            if fold.position.epoch != present.epoch:
                break  # the stream was restored since
            count = self._delete_chunks(present, fold)
            if count:
                went += count
                records.append(_clipped(fold, present.earliest))
        for r in records:
            data = self._sealing.event(present.origin, r.seq, r.data)
            self._events.append((present.id, r.seq, r.at, r.type, r.turn_id, r.step, data))
        return Landed(went, present.stream, present.standing(), folds=records)

    def _delete_chunks(self, present: Incarnation, fold: Event) -> int:
        first = max(fold.prev + 1, present.earliest)
        return self._connection.execute(
            "DELETE FROM events WHERE inc = ? AND seq BETWEEN ? AND ? AND type = 'output.delta'",
            (present.id, first, fold.seq),
        ).rowcount

    def _truncate(self, present: Incarnation, before: int) -> Landed:
        after = replace(present, earliest=max(present.earliest, min(before, present.head + 1)))
        self._connection.execute(
            "UPDATE incarnations SET earliest = ? WHERE id = ?", (after.earliest, after.id)
        )
        self.touched[after.stream] = after
        return Landed(None, after.stream, after.standing())

    def _sweep(self, present: Incarnation) -> Landed:
        self._write_events()
        (first,) = self._connection.execute(
            "SELECT min(seq) FROM events WHERE inc = ?", (present.id,)
        ).fetchone()
        if first is None or first >= present.earliest:
            return Landed(False)
        end = min(present.earliest, first + SWEEP)
        self._connection.execute("DELETE FROM events WHERE inc = ? AND seq < ?", (present.id, end))
        return Landed(end < present.earliest)

    def _forget(self, stream: str, dropping: Append) -> Landed:
        admit(dropping, self)
        self._write_events()
        self._write_texts()
        own = "(SELECT id FROM incarnations WHERE stream = ?)"
        continued = f"SELECT 1 FROM incarnations WHERE base IN {own} AND stream <> ? LIMIT 1"
        if self._connection.execute(continued, (stream, stream)).fetchone():
            return Landed(False)
        if not self._words_are_elsewhere:
            unindexed = f"SELECT 'delete', id, content FROM texts WHERE inc IN {own}"
            self._connection.execute(f"INSERT INTO words (words, rowid, content) {unindexed}", (stream,))
        for table in ("texts", "events"):
            self._connection.execute(f"DELETE FROM {table} WHERE inc IN {own}", (stream,))
        self._connection.execute("DELETE FROM incarnations WHERE stream = ?", (stream,))
        self._put_rows(dropping)
        self.touched.pop(stream, None)
        self.forgotten.add(stream)
        return Landed(True)

    def _write_events(self) -> None:
        insert(self._connection, "INSERT INTO events (inc, seq, at, type, turn_id, step, data)", self._events)
        self._events = []

    def _write_texts(self) -> None:
        insert(self._connection, "INSERT INTO texts (id, inc, seq, turn_id, role, content, at)", self._texts)
        words = [] if self._words_are_elsewhere else [(text[0], text[5]) for text in self._texts]
        insert(self._connection, "INSERT INTO words (rowid, content)", words)
        self._texts = []

    @property
    def _words_are_elsewhere(self) -> bool:
        """Whether no index of words may be on the disk."""
        return self._sealing.may_be_sealed

    def _write_keys(self) -> None:
        insert(
            self._connection,
            "INSERT INTO keys (scope, key, fingerprint, result, epoch, first, last, at)",
            [
                (
                    *place,
                    self._sealing.fingerprint(given),
                    self._sealing.result(*place, done.result),
                    done.epoch,
                    done.first,
                    done.last,
                    at,
                )
                for place, (given, done, at) in self._keys.items()
            ],
        )

    def _write_rows(self) -> None:
        if dropped := [place for place, row in self._rows.items() if row is None]:
            self._connection.executemany("DELETE FROM rows WHERE kind = ? AND id = ?", dropped)
        # REPLACE also deletes the row that has the name of a new row. `admit` has made sure that such a row
        # is itself among these, under another name.
        sealing = self._sealing
        insert(
            self._connection,
            "INSERT OR REPLACE INTO rows (kind, id, state, doc, owner, parent, name, at, version)",
            [
                (
                    r.kind,
                    r.id,
                    str(r.state),
                    sealing.doc(r.kind, r.id, r.doc),
                    r.owner,
                    r.parent,
                    r.name,
                    r.at,
                    r.version,
                )
                for place, r in self._rows.items()
                if r and place not in self._only_docs
            ],
        )
        if self._only_docs:  # changes no index, which takes half the time
            self._connection.executemany(
                "UPDATE rows SET doc = ?, version = ? WHERE kind = ? AND id = ?",
                [
                    (sealing.doc(*place, r.doc), r.version, *place)
                    for place in self._only_docs
                    if (r := self._rows[place])
                ],
            )
        self._connection.execute("UPDATE meta SET value = ? WHERE key = 'version'", (self.version,))

    def _find(self, stream: str) -> Incarnation | None:
        known = None if stream in self.forgotten else self._known.get(stream)
        return self.touched.get(stream) or known or present(self._connection, stream)

    def _require(self, stream: str) -> Incarnation:
        found = self._find(stream)
        if found is None:
            raise NotFound("stream", stream)
        return found

    def _of_epoch(self, epoch: str) -> Incarnation | None:
        self._write_events()  # because the head is read from the events
        return incarnation_of(self._connection, epoch)


def _clipped(fold: Event, earliest: int) -> Record:
    """Return the fold without the events that were truncated in the meantime."""
    payload = Folded(max(fold.prev + 1, earliest), fold.seq)
    return Record.of(replace(fold, payload=payload))


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert the rows with statements for 1 to `FEW_ROWS`, 8, 16 … `MAX_ROWS` rows, so that few statements
    are prepared."""
    start = 0
    while start < len(rows):
        left = len(rows) - start
        count = left if left <= FEW_ROWS else min(MAX_ROWS, 1 << left.bit_length() - 1)
        chunk = rows[start : start + count]
        connection.execute(_values(into, count, len(chunk[0])), [value for row in chunk for value in row])
        start += count


@lru_cache(maxsize=128)
def _values(into: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([row] * rows)}"
