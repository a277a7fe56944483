"""Checks the log and the catalog in the database: no event is missing, and all can be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from rhetor.domain.event import Folded, Payload
from rhetor.errors import SealBroken
from rhetor.store.encoding import decode
from rhetor.store.messages import said
from rhetor.store.sealed import Sealing
from rhetor.store.sqlite.contents import origins_of

from .progress import Progress

STEP = 1000  # events between two reports of progress


class Finding(Struct, frozen=True):
    """Something that is wrong. `kind`: a word for programs. `place`: the file, stream or row."""

    kind: str
    place: str
    detail: str


def check_log(
    source: sqlite3.Connection, sealing: Sealing, counts: dict[str, int], progress: Progress
) -> Iterator[Finding]:
    """Yield what is wrong, and count what was checked.

    Raises:
        sqlite3.DatabaseError: a table cannot be read any further.
    """
    origins = origins_of(source)
    query = "SELECT id, stream, epoch, earliest, base, base_seq FROM incarnations ORDER BY id"
    for inc, stream, epoch, earliest, base, base_seq in source.execute(query).fetchall():
        counts["streams"] += 1
        place = f"{stream} {epoch}"
        yield from _events(source, sealing, inc, origins[inc], earliest, place, counts, progress)
        if base is not None and not _reaches(source, base, base_seq):
            yield Finding("base_missing", place, f"the log has no event {base_seq} from which it continues")
    for kind, id, doc in source.execute("SELECT kind, id, doc FROM rows"):
        counts["rows"] += 1
        try:
            msgspec.json.decode(sealing.opened_doc(kind, id, doc))
        except (msgspec.DecodeError, TypeError, UnicodeDecodeError, SealBroken) as error:
            yield Finding("row_invalid", f"{kind} {id}", str(error))
    for scope, key, result in source.execute("SELECT scope, key, result FROM keys"):
        try:
            sealing.opened_result(scope, key, result)
        except SealBroken as error:
            yield Finding("key_invalid", f"{scope} {key}", error.detail)


def _events(
    source: sqlite3.Connection,
    sealing: Sealing,
    inc: int,
    origin: str,
    earliest: int,
    place: str,
    counts: dict[str, int],
    progress: Progress,
) -> Iterator[Finding]:
    texts = set()
    for seq, content in source.execute("SELECT seq, content FROM texts WHERE inc = ?", (inc,)):
        texts.add(seq)
        try:
            sealing.opened_text(origin, seq, content)
        except (SealBroken, UnicodeDecodeError) as error:
            yield Finding("text_invalid", f"{place}:{seq}", str(error))
    after = earliest
    query = "SELECT seq, type, data FROM events WHERE inc = ? AND seq >= ? ORDER BY seq"
    for seq, kind, data in source.execute(query, (inc, earliest)):
        counts["events"] += 1
        if counts["events"] % STEP == 0:
            progress.add(STEP)
        payload = _payload(sealing, origin, seq, kind, data)
        if isinstance(payload, str):
            yield Finding("event_invalid", f"{place}:{seq}", payload)
        first = payload.from_seq if isinstance(payload, Folded) else seq
        if first > after:
            yield Finding("event_missing", f"{place}:{after}", f"the next event is {first}")
        if not isinstance(payload, str) and said(payload) is not None and seq not in texts:
            yield Finding("text_missing", f"{place}:{seq}", "the message is in the log, but not in the index")
        after = seq + 1


def _payload(sealing: Sealing, origin: str, seq: int, kind: str, data: Any) -> Payload | str:
    """Return the payload, or why it cannot be decoded."""
    try:
        return decode(kind, sealing.opened_event(origin, seq, data))
    except KeyError:
        return f"unknown type {kind!r}"
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, SealBroken) as error:
        return str(error)


def _reaches(source: sqlite3.Connection, inc: int, seq: int) -> bool:
    query = (
        "SELECT max(earliest - 1, coalesce((SELECT max(seq) FROM events WHERE inc = i.id), 0))"
        " FROM incarnations i WHERE id = ?"
    )
    row = source.execute(query, (inc,)).fetchone()
    return row is not None and row[0] >= seq
