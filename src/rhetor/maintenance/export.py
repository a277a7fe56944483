"""Writes the events of the log as JSON lines. Their payloads are exactly the stored bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from msgspec import Struct

from rhetor.dialects.raw import encode
from rhetor.errors import RhetorError, SealBroken
from rhetor.sealing.ring import Ring
from rhetor.store.base import Record
from rhetor.store.sealed import Sealing
from rhetor.store.sqlite.contents import origins_of
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.snapshot import snapshot

from .archive import DATABASE
from .progress import Progress

STEP = 1000  # events between two reports of progress


class NotExported(RhetorError):
    """There is no log, it cannot be read, or it has no such session."""

    code, status = "not_exported", 404


class Wanted(Struct, frozen=True):
    """Which events are exported; by default, all. `session`: the id or the name of a session, or another
    stream. `since`, `before`: Unix time in milliseconds."""

    session: str | None = None
    since: int | None = None
    before: int | None = None


def export(
    home: Path,
    wanted: Wanted,
    write: Callable[[bytes], object],
    progress: Progress,
    ring: Ring | None = None,
) -> None:
    """Write one line per event, all as of one moment, in the order of streams, epochs and numbers. `ring`
    opens what is sealed.

    Raises:
        NotExported: there is no log, it cannot be read, or it has no such session.
    """
    database = home / DATABASE
    if not database.exists():
        raise NotExported(f"{database} does not exist; name the state folder with --home or RHETOR_HOME")
    try:
        with snapshot(database) as source:
            streams = None if wanted.session is None else _streams(source, wanted.session)
            _write(source, sealing_of(source, ring), streams, wanted, write, progress)
    except (sqlite3.Error, UnicodeDecodeError, SealBroken) as error:
        raise NotExported(f"{database} cannot be read: {error}; run rhetor check") from error


def _streams(source: sqlite3.Connection, session: str) -> Collection[str]:
    query = (
        "SELECT id FROM rows WHERE kind = 'session' AND name = ?1"
        " UNION SELECT stream FROM incarnations WHERE stream = ?1"
    )
    found = [id for (id,) in source.execute(query, (session,))]
    if not found:
        raise NotExported(f"no session {session!r}; aish sessions list --all shows them")
    return found


def _write(
    source: sqlite3.Connection,
    sealing: Sealing,
    streams: Collection[str] | None,
    wanted: Wanted,
    write: Callable[[bytes], object],
    progress: Progress,
) -> None:
    conditions, values = ["seq >= i.earliest"], list[str | int]()
    if streams is not None:
        conditions.append(f"i.stream IN ({', '.join('?' * len(streams))})")
        values += streams
    for comparison, at in (("at >= ?", wanted.since), ("at < ?", wanted.before)):
        if at is not None:
            conditions.append(comparison)
            values.append(at)
    query = (
        "SELECT i.id, i.stream, i.epoch, seq, at, type, turn_id, step, data"
        " FROM incarnations i CROSS JOIN events ON inc = i.id"
        f" WHERE {' AND '.join(conditions)} ORDER BY i.id, seq"
    )
    origins = origins_of(source)
    for number, (inc, *row) in enumerate(source.execute(query, values), start=1):
        record = Record(*row)
        record.data = sealing.opened_event(origins[inc], record.seq, record.data)
        write(encode(record) + b"\n")
        if number % STEP == 0:
            progress.add(STEP)
