"""Summaries of conversations, for lists of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from rhetor.domain.event import UsageReported
from rhetor.store.base import MOST_PREFACE, Summary
from rhetor.store.encoding import decode
from rhetor.store.messages import ASSISTANT, MOST_BEGINNING, beginning, cost_of
from rhetor.store.sealed import Sealing

from .incarnation import present

_ORIGIN = "coalesce(i.sealed_as, i.epoch)"
# the incarnations whose messages belong to a stream, from its current one (?1) to its oldest base
_VIEW = f"""
WITH RECURSIVE view (depth, inc, last, base, base_seq, origin) AS (
    SELECT 0, id, 9223372036854775807, base, base_seq, {_ORIGIN} FROM incarnations i WHERE id = ?1
    UNION ALL
    SELECT depth + 1, i.id, view.base_seq, i.base, i.base_seq, {_ORIGIN}
    FROM view JOIN incarnations i ON i.id = view.base
)
"""
_COUNT = f"""{_VIEW}
SELECT count(DISTINCT t.turn_id || ' ' || t.role) FROM view JOIN texts t ON t.inc = view.inc AND t.seq <= last
"""
# characters; only a text that begins with a tag may have something before its first words
_NEEDED = f"iif(substr(content, 1, 1) = '<', {MOST_PREFACE}, {2 * MOST_BEGINNING})"
# a sealed text is opened as a whole, and `substr` would end a text at its first NUL
_IS_CUT = "typeof(content) = 'text' AND instr(content, char(0)) = 0"
_FIRST = f"""{_VIEW}
SELECT origin, t.seq, iif({_IS_CUT}, substr(content, 1, {_NEEDED}), content)
FROM view JOIN texts t ON t.inc = view.inc AND t.seq <= last
WHERE t.role <> '{ASSISTANT}' ORDER BY depth DESC, t.seq LIMIT 1
"""
_LAST = f"""
SELECT {_ORIGIN}, t.seq, iif({_IS_CUT}, substr(content, 1, {MOST_PREFACE}), content)
FROM texts t JOIN incarnations i ON i.id = t.inc WHERE t.inc = :inc {{before}} ORDER BY t.seq DESC LIMIT 1
"""
_REPORTS = f"""
SELECT {_ORIGIN}, e.seq, e.data FROM incarnations i CROSS JOIN events e ON e.inc = i.id
WHERE i.stream = ? AND e.type = '{UsageReported.type}' AND e.seq >= i.earliest
"""


def summaries(
    connection: sqlite3.Connection, sealing: Sealing, streams: Sequence[str]
) -> Mapping[str, Summary]:
    """Return a summary for each of the streams that exists."""
    found = ((stream, present(connection, stream)) for stream in streams)
    return {s: _summary(connection, sealing, s, current.id) for s, current in found if current is not None}


def last_messages(
    connection: sqlite3.Connection, sealing: Sealing, streams: Sequence[str]
) -> Mapping[str, str]:
    """Return the beginning of the last message of each of the streams that has one."""
    found = ((stream, present(connection, stream)) for stream in streams)
    texts = ((s, _last_message(connection, sealing, current.id)) for s, current in found if current)
    return {stream: text for stream, text in texts if text is not None}


def _last_message(connection: sqlite3.Connection, sealing: Sealing, inc: int) -> str | None:
    last: int | None = None
    while True:
        before = "" if last is None else "AND t.seq <= :last"
        row = connection.execute(_LAST.format(before=before), {"inc": inc, "last": last}).fetchone()
        if row is not None:
            return sealing.opened_text(*row)[:MOST_PREFACE]
        base = connection.execute("SELECT base, base_seq FROM incarnations WHERE id = ?", (inc,)).fetchone()
        if base[0] is None:
            return None
        inc, last = base


def _summary(connection: sqlite3.Connection, sealing: Sealing, stream: str, inc: int) -> Summary:
    (messages,) = connection.execute(_COUNT, (inc,)).fetchone()
    asked = connection.execute(_FIRST, (inc,)).fetchone()
    query = "SELECT max(earliest) = 1 FROM incarnations WHERE stream = ?"
    (is_whole,) = connection.execute(query, (stream,)).fetchone()
    cost, is_known = cost_of(
        _report(sealing, *row) for row in connection.execute(_REPORTS, (stream,)).fetchall()
    )
    first = beginning(sealing.opened_text(*asked)) if asked else ""
    return Summary(first, messages, cost, is_known and bool(is_whole))


def _report(sealing: Sealing, origin: str, seq: int, data: Any) -> UsageReported:
    report = decode(UsageReported.type, sealing.opened_event(origin, seq, data))
    assert isinstance(report, UsageReported)
    return report
