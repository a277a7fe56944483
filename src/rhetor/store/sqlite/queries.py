"""Reads the tables. A function with several queries must be called in a read transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from rhetor.domain.event import Event, Position
from rhetor.errors import NotFound
from rhetor.store.base import (
    CREDENTIALS,
    MARK_BEGIN,
    MARK_END,
    Among,
    Exchange,
    Head,
    Hit,
    Record,
    Row,
    Spoken,
    require_before,
    require_position,
)
from rhetor.store.incarnation import Incarnation
from rhetor.store.messages import ASSISTANT, folded, last_spoken
from rhetor.store.sealed import Sealing
from rhetor.store.search import fts_expression

from .among import Chooser
from .incarnation import incarnation_of, present

PAGE_BYTES = 4 << 20  # a page ends with the record whose payload reaches this size
EXCERPT_TOKENS = 24
_FOREVER = 2**63 - 1
_EVENT = "seq, at, type, turn_id, step, data"
_ROW = "kind, id, state, doc, owner, parent, name, at, version"
# when the first event of the incarnation i was stored
_BEGINS = "SELECT at FROM events WHERE inc = i.id AND seq >= i.earliest ORDER BY seq LIMIT 1"
_ORIGIN = "coalesce(i.sealed_as, i.epoch)"
_TEXTS = f"""
WITH RECURSIVE view (depth, inc, last, base, base_seq, origin, epoch) AS (
    SELECT 0, id, ?, base, base_seq, {_ORIGIN}, epoch FROM incarnations i WHERE id = ?
    UNION ALL
    SELECT depth + 1, i.id, view.base_seq, i.base, i.base_seq, {_ORIGIN}, i.epoch
    FROM view JOIN incarnations i ON i.id = view.base
)
SELECT inc, last, origin, epoch FROM view ORDER BY depth
"""


def require(connection: sqlite3.Connection, stream: str) -> Incarnation:
    """Return the stream's current incarnation.

    Raises:
        NotFound: the stream does not exist.
    """
    found = present(connection, stream)
    if found is None:
        raise NotFound("stream", stream)
    return found


def head(connection: sqlite3.Connection, stream: str) -> Head | None:
    found = present(connection, stream)
    return found.standing() if found else None


def page(
    connection: sqlite3.Connection, sealing: Sealing, stream: str, after: Position, limit: int
) -> Sequence[Record]:
    """Return a page of records, as `Log.page` does."""
    incarnation = require(connection, stream)
    require_position(incarnation.standing(), after)
    records: list[Record] = []
    size = 0
    cursor = connection.execute(
        f"SELECT {_EVENT} FROM events WHERE inc = ? AND seq > ? ORDER BY seq LIMIT ?",
        (incarnation.id, after.seq, limit),
    )
    for row in cursor:
        records.append(_record(sealing, incarnation, row))
        size += len(row[-1])
        if size >= PAGE_BYTES:
            break
    cursor.close()
    return records


def page_before(
    connection: sqlite3.Connection, sealing: Sealing, stream: str, before: Position, limit: int
) -> Sequence[Record]:
    """Return a page of records, as `Log.page_before` does."""
    incarnation = require(connection, stream)
    require_before(incarnation.standing(), before)
    records: list[Record] = []
    size = 0
    with closing(_events_backwards(connection, incarnation, before.seq)) as rows:
        for row in rows:
            record = _record(sealing, incarnation, row)
            if record.seq >= before.seq and record.prev + 1 >= before.seq:
                continue  # the event at the position, which does not replace any before it
            records.append(record)
            size += len(record.data)
            if len(records) == limit or size >= PAGE_BYTES:
                break
    records.reverse()
    return records


def _events_backwards(
    connection: sqlite3.Connection, incarnation: Incarnation, seq: int
) -> Generator[tuple[Any, ...]]:
    """Yield the event with the number `seq`, or the first one after it, and then those before it."""
    select = f"SELECT {_EVENT} FROM events WHERE inc = ? AND seq"
    yield from connection.execute(f"{select} >= ? ORDER BY seq LIMIT 1", (incarnation.id, seq)).fetchall()
    limits = incarnation.id, seq, incarnation.earliest
    yield from connection.execute(f"{select} < ? AND seq >= ? ORDER BY seq DESC", limits)


def of_types(
    connection: sqlite3.Connection,
    sealing: Sealing,
    types: Collection[str],
    after: Position | None,
    limit: int,
) -> Sequence[Record]:
    """Return a page of the records of all streams, as `Log.of_types` does."""
    begin = (0, 0)
    if after is not None and (last := incarnation_of(connection, after.epoch)) is not None:
        begin = (last.id, after.seq)
    # the cross join keeps the events in the order of their key, so that nothing is sorted
    cursor = connection.execute(
        f"""
        SELECT {_ORIGIN}, i.stream, i.epoch, {_EVENT} FROM events CROSS JOIN incarnations i ON i.id = inc
        WHERE (inc, seq) > (?, ?) AND seq >= i.earliest AND type IN ({", ".join("?" * len(types))})
        ORDER BY inc, seq LIMIT ?
        """,
        (*begin, *types, limit),
    )
    records = []
    for origin, *found in cursor:
        if sealing.may_be_sealed:
            found[-1] = sealing.opened_event(origin, found[2], found[-1])
        records.append(Record(*found))
    return records


def old_events(connection: sqlite3.Connection, before: int) -> Sequence[tuple[str, int]]:
    """Return streams with the number of the first event to keep, as `Store.old_events` does."""
    return connection.execute(
        f"""
        SELECT stream, coalesce(
            (SELECT seq FROM events WHERE inc = i.id AND seq >= i.earliest AND at >= ?1 ORDER BY seq LIMIT 1),
            (SELECT max(seq) FROM events WHERE inc = i.id) + 1
        )
        FROM incarnations i WHERE present AND ({_BEGINS}) < ?1
        """,
        (before,),
    ).fetchall()


def oldest(connection: sqlite3.Connection, without: str) -> int | None:
    query = f"""
        SELECT min(({_BEGINS})) FROM incarnations i
        WHERE present AND stream <> ?1 AND substr(stream, 1, length(?1) + 1) <> ?1 || ':'
        """
    (at,) = connection.execute(query, (without,)).fetchone()
    return None if at is None else int(at)


def size(connection: sqlite3.Connection) -> int:
    """Return the number of bytes in pages that are in use."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * page)


def folds(connection: sqlite3.Connection, sealing: Sealing, stream: str, turn_id: str) -> Sequence[Event]:
    """Return the events that replace the answer chunks of a turn."""
    incarnation = require(connection, stream)
    (asked,) = connection.execute(
        "SELECT min(seq) FROM texts WHERE inc = ? AND turn_id = ? AND role <> ?",
        (incarnation.id, turn_id, ASSISTANT),
    ).fetchone()
    cursor = connection.execute(
        f"SELECT {_EVENT} FROM events WHERE inc = ? AND seq >= ? AND turn_id = ? ORDER BY seq",
        (incarnation.id, max(asked or 0, incarnation.earliest), turn_id),
    )
    found = folded(_record(sealing, incarnation, row).event for row in cursor)
    cursor.close()
    return found


def spoken(
    connection: sqlite3.Connection,
    sealing: Sealing,
    stream: str,
    limit: int,
    answered: bool,
    until: Position | None,
) -> Sequence[Spoken]:
    if until is None:
        incarnation, last = require(connection, stream), _FOREVER
    else:
        incarnation, last = _once(connection, stream, until.epoch), until.seq
    return last_spoken(_backwards(connection, sealing, incarnation, last), limit, answered=answered)


def _once(connection: sqlite3.Connection, stream: str, epoch: str) -> Incarnation:
    """Return an incarnation that the stream has or had.

    Raises:
        NotFound: it never had one with this epoch.
    """
    found = incarnation_of(connection, epoch)
    if found is None or found.stream != stream:
        raise NotFound("stream", stream)
    return found


def _backwards(
    connection: sqlite3.Connection, sealing: Sealing, incarnation: Incarnation, until: int
) -> Iterator[Spoken]:
    """Yield the messages of the incarnation up to that number, then those of its bases, newest first."""
    for inc, last, origin, epoch in connection.execute(_TEXTS, (until, incarnation.id)).fetchall():
        cursor = connection.execute(
            "SELECT turn_id, role, content, at, seq FROM texts WHERE inc = ? AND seq <= ? ORDER BY seq DESC",
            (inc, last),
        )
        for turn_id, role, content, at, seq in cursor:
            text = sealing.opened_text(origin, seq, content) if sealing.may_be_sealed else content
            yield Spoken(turn_id, role, text, at, seq, epoch)


def search(
    connection: sqlite3.Connection, sealing: Sealing, words: Sequence[str], among: Among, limit: int
) -> Sequence[Hit]:
    """Search in the index on the disk, as `Log.search` does. It is empty if content is sealed."""
    chooser = Chooser(connection, sealing, among)
    expression = fts_expression(words)
    cursor = connection.execute(
        f"""
        SELECT t.id, i.id, {_ORIGIN}, t.turn_id, r.doc
        FROM words JOIN texts t ON t.id = words.rowid JOIN incarnations i ON i.id = t.inc {chooser.join}
        WHERE words MATCH :words {chooser.where} ORDER BY words.rank, t.id DESC
        """,
        {"words": expression, **chooser.values},
    )
    chosen = (id for id, *message in cursor if chooser.wants(*message))
    found = [_hit(connection, expression, id) for id in islice(chosen, limit)]
    cursor.close()
    return found


def _hit(connection: sqlite3.Connection, expression: str, id: int) -> Hit:
    stream, epoch, seq, turn_id, role, excerpt, at = connection.execute(
        f"""
        SELECT i.stream, i.epoch, t.seq, t.turn_id, t.role,
               snippet(words, 0, '{MARK_BEGIN}', '{MARK_END}', '…', {EXCERPT_TOKENS}), t.at
        FROM words JOIN texts t ON t.id = words.rowid JOIN incarnations i ON i.id = t.inc
        WHERE words MATCH ? AND words.rowid = ?
        """,
        (expression, id),
    ).fetchone()
    return Hit(stream, Position(epoch, seq), turn_id or None, role, excerpt, at)


def recent(
    connection: sqlite3.Connection, sealing: Sealing, limit: int, among: Among, before: str | None
) -> Sequence[Exchange]:
    """Return questions with their answers, as `Log.recent` does. Only the texts that it returns are read."""
    last = (_FOREVER, _FOREVER) if before is None else _asked(connection, before)
    if last is None:
        return []
    chooser = Chooser(connection, sealing, among)
    # few streams are read whole; otherwise the index gives the questions by time
    by_time = "texts t INDEXED BY texts_asked CROSS JOIN incarnations i ON i.id = t.inc"
    of_streams = "incarnations i CROSS JOIN texts t ON t.inc = i.id"
    cursor = connection.execute(
        f"""
        SELECT t.id, t.at, i.stream, i.id, {_ORIGIN}, t.turn_id, r.doc
        FROM {by_time if among.streams is None else of_streams} {chooser.join}
        WHERE t.role <> '{ASSISTANT}' AND (t.at, t.id) < (:before, :id) {chooser.where}
        ORDER BY t.at DESC, t.id DESC
        """,
        {"before": last[0], "id": last[1], **chooser.values},
    )
    found: list[Exchange] = []
    for id, at, stream, inc, origin, turn_id, doc in cursor:
        if len(found) >= limit:
            break
        if chooser.wants(inc, origin, turn_id, doc):
            said = _exchange(connection, sealing, id, inc, turn_id, origin)
            by = chooser.peer(turn_id, doc), chooser.model(inc, origin, turn_id)
            found.append(Exchange(stream, turn_id, at, *said, *by))
    cursor.close()
    return found


def _asked(connection: sqlite3.Connection, turn_id: str) -> tuple[int, int] | None:
    """Return the time and the id of a turn's question, by the stream that the turn's row names."""
    found: tuple[int, int] | None = connection.execute(
        f"""
        SELECT q.at, q.id FROM rows r JOIN incarnations i ON i.stream = r.parent
        JOIN texts q ON q.inc = i.id AND q.turn_id = r.id AND q.role <> '{ASSISTANT}'
        WHERE r.kind = 'turn' AND r.id = ?
        """,
        (turn_id,),
    ).fetchone()
    return found


def _exchange(
    connection: sqlite3.Connection, sealing: Sealing, id: int, inc: int, turn_id: str, origin: str
) -> tuple[str, str]:
    """Return the text of a question, and its last answer."""
    asked = connection.execute("SELECT seq, content FROM texts WHERE id = ?", (id,)).fetchone()
    answered = connection.execute(
        f"SELECT seq, content FROM texts WHERE inc = ? AND turn_id = ? AND role = '{ASSISTANT}'"
        " ORDER BY seq DESC LIMIT 1",
        (inc, turn_id),
    ).fetchone()
    if sealing.may_be_sealed:
        return sealing.opened_text(origin, *asked), sealing.opened_text(origin, *answered) if answered else ""
    return asked[1], answered[1] if answered else ""


def row(connection: sqlite3.Connection, sealing: Sealing, kind: str, id: str) -> Row | None:
    found = connection.execute(f"SELECT {_ROW} FROM rows WHERE kind = ? AND id = ?", (kind, id)).fetchone()
    return _row(sealing, found) if found else None


def _row(sealing: Sealing, found: Sequence[Any]) -> Row:
    if not (sealing.may_be_sealed or found[0] in CREDENTIALS):
        return Row(*found)
    kind, id, state, doc, *others = found
    return Row(kind, id, state, sealing.opened_doc(kind, id, doc), *others)


def rows(
    connection: sqlite3.Connection,
    sealing: Sealing,
    columns: dict[str, str],
    states: Collection[str] | None,
    limit: int,
    newest: bool = False,
) -> Sequence[Row]:
    """Return the rows in which each column has the given value, and `state` one of `states`."""
    where = " AND ".join(f"{column} = ?" for column in columns) + _in_states(states)
    order = "at DESC, id DESC" if newest else "at, id"
    sql = f"SELECT {_ROW} FROM rows WHERE {where} ORDER BY {order} LIMIT ?"
    cursor = connection.execute(sql, (*columns.values(), *(states or ()), limit))
    opened = [_row(sealing, found) for found in cursor]
    return opened[::-1] if newest else opened


def documents(
    connection: sqlite3.Connection, sealing: Sealing, columns: dict[str, str]
) -> Sequence[tuple[str, bytes]]:
    """Return the ids and documents of the rows in which each column has the given value."""
    where = " AND ".join(f"{column} = ?" for column in columns)
    found = connection.execute(f"SELECT id, doc FROM rows WHERE {where}", (*columns.values(),)).fetchall()
    kind = columns["kind"]
    if sealing.may_be_sealed or kind in CREDENTIALS:
        return [(id, sealing.opened_doc(kind, id, doc)) for id, doc in found]
    return found


def counts(connection: sqlite3.Connection, kind: str, states: Collection[str], owner: str) -> dict[str, int]:
    sql = (
        f"SELECT parent, count(*) FROM rows WHERE kind = ? AND owner = ?{_in_states(states)} GROUP BY parent"
    )
    return dict(connection.execute(sql, (kind, owner, *states)).fetchall())


def has(connection: sqlite3.Connection, kind: str, parent: str, states: Collection[str]) -> bool:
    """Return whether there is such a row. It is found in the index, whatever the number of rows."""
    sql = f"SELECT 1 FROM rows WHERE kind = ? AND parent = ?{_in_states(states)} LIMIT 1"
    return connection.execute(sql, (kind, parent, *states)).fetchone() is not None


def _in_states(states: Collection[str] | None) -> str:
    return "" if states is None else f" AND state IN ({', '.join('?' * len(states))})"


def offset(connection: sqlite3.Connection, source: str) -> int:
    found = connection.execute("SELECT offset FROM sources WHERE source = ?", (source,)).fetchone()
    return int(found[0]) if found else 0


def _record(sealing: Sealing, incarnation: Incarnation, row: tuple[Any, ...]) -> Record:
    if not sealing.may_be_sealed:
        return Record(incarnation.stream, incarnation.epoch, *row)
    seq, at, kind, turn_id, step, data = row
    opened = sealing.opened_event(incarnation.origin, seq, data)
    return Record(incarnation.stream, incarnation.epoch, seq, at, kind, turn_id, step, opened)
