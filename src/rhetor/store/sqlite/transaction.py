"""One transaction of the writer: requests in order, then all that they write, and perhaps more requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from rhetor.domain.event import Event
from rhetor.errors import NotFound
from rhetor.store.commit import Append, admit
from rhetor.store.group import Group
from rhetor.store.incarnation import Incarnation
from rhetor.store.messages import clipped
from rhetor.store.requests import Fold, ForgetKeys, ForgetStream, Landed, Renew, Request, Sweep, Truncate
from rhetor.store.sealed import Sealing

from .incarnation import incarnation_of, present
from .resealing import Pass
from .sealed import note_keys

FEW_ROWS = 6  # of which most commits have no more
MAX_ROWS = 64  # per statement: more are not faster, and a longer prepared statement takes more memory

SWEEP = 2000  # events that are deleted at a time


class Transaction(Group):
    """Checks and collects the requests of a batch between BEGIN and COMMIT.

    `known`: incarnations as of the last transaction. When this transaction is committed, the writer remembers
    `touched` (the incarnations that it changed), `forgotten` (the streams that it removed), `text_id` (of the
    next text) and `version` (of the rows that were written last).
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
        super().__init__(version, new_epoch, sealing)
        self._connection = connection
        self._known = known
        self.text_id = text_id
        self.forgotten: set[str] = set()

    def apply(self, request: Request) -> Landed:
        """Check a request, and prepare what it writes.

        Raises:
            KeyReused, StateConflict, NameTaken, NotFound, SealBroken: it is rejected and changes nothing.
        """
        match request:
            case Append():
                return self.append(request)
            case Fold(stream, folds):
                return self._fold(self._require(stream), folds)
            case Truncate(stream, before):
                return self._truncate(self._require(stream), before)
            case Sweep(stream):
                return self._sweep(self._require(stream))
            case Renew(after, retired):
                self._write_events()
                return Landed(Pass(self._connection, self.sealing, retired).step(after))
            case ForgetKeys(retired):
                forgotten = [(key,) for key in retired]
                self._connection.executemany("DELETE FROM seals WHERE key = ?", forgotten)
                return Landed(None)
            case ForgetStream(stream, dropping):
                return self._forget(self._require(stream).stream, dropping)

    def write(self) -> None:
        """Write everything that was accepted since the last call."""
        self._write_events()
        if self.texts:
            self._write_texts()
        if self.rows:
            self._write_rows()
        if self.keys:
            self._write_keys()
        if self.sources:
            sources = list(self.sources.items())
            insert(self._connection, "INSERT OR REPLACE INTO sources (source, offset)", sources)
        if self.sealing.new_keys:
            note_keys(self._connection, self.sealing)
        self.collect_anew()

    # what is stored

    def stored_key(self, scope: str, key: str) -> tuple[str, str, int, int, bytes] | None:
        row: tuple[str, str, int, int, bytes] | None = self._connection.execute(
            "SELECT fingerprint, epoch, first, last, result FROM keys WHERE scope = ? AND key = ?",
            (scope, key),
        ).fetchone()
        return row

    def stored_row(self, kind: str, id: str) -> tuple[str, int] | None:
        row: tuple[str, int] | None = self._connection.execute(
            "SELECT state, version FROM rows WHERE kind = ? AND id = ?", (kind, id)
        ).fetchone()
        return row

    def stored_holder(self, kind: str, owner: str, name: str) -> str | None:
        stored = self._connection.execute(
            "SELECT id FROM rows WHERE kind = ? AND owner = ? AND name = ?", (kind, owner, name)
        ).fetchone()
        return stored[0] if stored else None

    def stored_doc(self, kind: str, id: str) -> bytes | None:
        sql = "SELECT doc FROM rows WHERE kind = ? AND id = ?"
        stored = self._connection.execute(sql, (kind, id)).fetchone()
        return stored[0] if stored else None

    def stored_stream(self, stream: str) -> Incarnation | None:
        known = None if stream in self.forgotten else self._known.get(stream)
        return known or present(self._connection, stream)

    def stored_epoch(self, epoch: str) -> Incarnation | None:
        return incarnation_of(self._connection, epoch)

    def create(self, append: Append, epoch: str, base: Incarnation | None) -> int:
        if append.base:
            sql = "UPDATE incarnations SET present = 0 WHERE stream = ? AND present"
            self._connection.execute(sql, (append.stream,))
        cursor = self._connection.execute(
            "INSERT INTO incarnations (stream, epoch, base, base_seq) VALUES (?, ?, ?, ?)",
            (append.stream, epoch, base and base.id, append.base and append.base[1].seq),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    # ----

    def _fold(self, present: Incarnation, folds: Sequence[Event]) -> Landed:
        self._write_events()
        went, records = 0, []
        for fold in folds:
            if fold.position.epoch != present.epoch:
                break  # the stream was restored since
            count = self._delete_chunks(present, fold)
            if count:
                went += count
                records.append(clipped(fold, present.earliest))
        for r in records:
            data = self.sealing.event(present.origin, r.seq, r.data)
            self.events.append((present.id, r.seq, r.at, r.type, r.turn_id, r.step, data))
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
        self.touch(after)
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
        self.put_rows(dropping)
        self.remove(stream)
        self.forgotten.add(stream)
        return Landed(True)

    def _write_events(self) -> None:
        insert(self._connection, "INSERT INTO events (inc, seq, at, type, turn_id, step, data)", self.events)
        self.events = []

    def _write_texts(self) -> None:
        texts = list(enumerate(self.texts, start=self.text_id))
        self.text_id += len(texts)
        insert(
            self._connection,
            "INSERT INTO texts (id, inc, seq, turn_id, role, content, at)",
            [(id, *text) for id, text in texts],
        )
        words = [] if self._words_are_elsewhere else [(id, text[4]) for id, text in texts]
        insert(self._connection, "INSERT INTO words (rowid, content)", words)
        self.texts = []

    @property
    def _words_are_elsewhere(self) -> bool:
        """Whether no index of words may be on the disk."""
        return self.sealing.may_be_sealed

    def _write_keys(self) -> None:
        insert(
            self._connection,
            "INSERT INTO keys (scope, key, fingerprint, result, epoch, first, last, at)",
            self.columns_of_keys(),
        )

    def _write_rows(self) -> None:
        if dropped := [place for place, row in self.rows.items() if row is None]:
            self._connection.executemany("DELETE FROM rows WHERE kind = ? AND id = ?", dropped)
        # REPLACE also deletes the row that has the name of a new row. `admit` has made sure that such a row
        # is itself among these, under another name.
        sealing = self.sealing
        insert(
            self._connection,
            "INSERT OR REPLACE INTO rows (kind, id, state, doc, owner, parent, name, at, version)",
            [self.columns_of(r) for place, r in self.rows.items() if r and place not in self.only_docs],
        )
        if self.only_docs:  # changes no index, which takes half the time
            self._connection.executemany(
                "UPDATE rows SET doc = ?, version = ? WHERE kind = ? AND id = ?",
                [
                    (sealing.doc(*place, r.doc), r.version, *place)
                    for place in self.only_docs
                    if (r := self.rows[place])
                ],
            )
        self._connection.execute("UPDATE meta SET value = ? WHERE key = 'version'", (self.version,))

    def _require(self, stream: str) -> Incarnation:
        found = self.find(stream)
        if found is None:
            raise NotFound("stream", stream)
        return found


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
