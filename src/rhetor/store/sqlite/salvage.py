"""Replaces a damaged database with what can be read of it. The damaged file is kept beside it.

Tables are read in the order of their keys, from both ends and in smaller and smaller ranges, around the pages
that cannot be read. Indexes are built again. A `folded` event stands for the numbers of missing events.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec

from rhetor.domain.event import Folded
from rhetor.errors import KeysUnavailable
from rhetor.store.base import random_epoch
from rhetor.store.sealed import MIXED, Sealing

from .connection import atomic, connect
from .contents import is_sound, origins_of
from .schema import MIGRATIONS, migrate
from .sealed import keys_in_use, keys_of_values, read_state

# the tables, with the columns of their keys
TABLES = {
    "incarnations": ("id",),
    "events": ("inc", "seq"),
    "texts": ("id",),
    "rows": ("kind", "id"),
    "keys": ("scope", "key"),
    "sources": ("source",),
    "meta": ("key",),
    "seals": ("key",),
}
MAX_RANGES = 1_000  # that are tried per stream
FEW = 3  # values whose ids of keys may be damaged
VERSIONS = 1_000_000  # to skip, so that no version of a lost row is used again
DAMAGE = sqlite3.DatabaseError, UnicodeDecodeError  # the latter if SQLite quotes a damaged name
log = logging.getLogger(__name__)


def salvage(path: Path, findings: Sequence[str], sealing: Sealing) -> tuple[str, bool]:
    """Replace the database. `findings`: what its check found. Return a sentence for the user, and whether
    something may be missing.

    Raises:
        KeysUnavailable: it has sealed content, and there are no keys; nothing was replaced.
    """
    new = path.with_name(f"{path.name}.salvaged")
    for old in _files(new):
        old.unlink(missing_ok=True)
    # only an index may be wrong; then the tables are whole if they can be read
    copy = _Copy(sealing, lost=not all("index" in finding and "Tree" not in finding for finding in findings))
    with closing(_source(path)) as source, closing(connect(new)) as target:
        copy.run(source, target)
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for old, kept in zip(_files(path), _files(aside), strict=True):
        with suppress(FileNotFoundError):
            old.rename(kept)
    new.rename(path)
    missing = "something may be missing" if copy.lost else "nothing is missing"
    advice = "; if you have a backup, stop the hub and put it in place" if copy.lost else ""
    report = f"{path} was damaged, and what could be read has replaced it ({missing}){advice}; see {aside}"
    return report, copy.lost


def finish_interrupted(path: Path) -> None:
    """Complete a replacement that was interrupted between its last two steps."""
    new = path.with_name(f"{path.name}.salvaged")
    if new.exists() and not path.exists():
        new.rename(path)


class _Copy:
    """Copies all tables. `lost`: whether something may be missing."""

    def __init__(self, sealing: Sealing, lost: bool) -> None:
        self._sealing = sealing
        self.lost = lost

    def run(self, source: sqlite3.Connection, target: sqlite3.Connection) -> None:
        version = self._version(source)
        for number, script in enumerate(MIGRATIONS[:version], start=1):
            target.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")
        if version:
            with atomic(target, "BEGIN IMMEDIATE"):
                for table, key in TABLES.items():
                    target.execute(f"DELETE FROM {table}")  # what the migrations wrote
                    self._table(source, target, table, key)
        migrate(target)
        with atomic(target, "BEGIN IMMEDIATE"):
            _note_seals(target, self._sealing)
            if self.lost:
                _repair(target, self._sealing)
            if not read_state(target):  # else, no index of words may be on the disk
                target.execute("INSERT INTO words (words) VALUES ('rebuild')")
            target.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")

    def _version(self, source: sqlite3.Connection) -> int:
        try:
            (version,) = source.execute("PRAGMA user_version").fetchone()
        except (sqlite3.Error, UnicodeDecodeError):
            version = 0
        self.lost = self.lost or not 0 < version <= len(MIGRATIONS)
        return version if 0 < version <= len(MIGRATIONS) else 0

    def _table(
        self, source: sqlite3.Connection, target: sqlite3.Connection, table: str, key: tuple[str, ...]
    ) -> None:
        columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
        if not columns:  # a table of a later schema
            return
        copied = _Table(source, target, table, columns, key)
        if copied.scan("", ()):
            return
        self.lost = True
        log.error("a table of the database cannot be read as a whole", extra={"table": table})
        if table == "events":
            for (inc,) in target.execute("SELECT id FROM incarnations").fetchall():
                copied.ranges(inc)
        elif key == ("id",):
            copied.ranges(None)
        if table == "incarnations":
            _from_indexes(source, target)


def _from_indexes(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Add the incarnations that only the indexes still have. Their epochs are lost, as a new one begins."""
    with suppress(*DAMAGE):
        query = "SELECT id FROM incarnations INDEXED BY incarnations_present WHERE present"
        present = {id for (id,) in source.execute(query)}
        query = "SELECT id, stream FROM incarnations INDEXED BY incarnations_stream WHERE stream > ''"
        for id, stream in source.execute(query):
            target.execute(
                "INSERT OR IGNORE INTO incarnations (id, stream, epoch, present) VALUES (?, ?, ?, ?)",
                (id, stream, random_epoch(), int(id in present)),
            )


class _Table:
    """Copies the rows of one table, as far as they can be read."""

    def __init__(
        self,
        source: sqlite3.Connection,
        target: sqlite3.Connection,
        table: str,
        columns: Sequence[str],
        key: tuple[str, ...],
    ) -> None:
        self._source = source
        self._target = target
        self._key = key
        self._at = columns.index(key[-1])
        self._select = f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED"
        self._insert = (
            f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        )
        self._left = MAX_RANGES

    def scan(self, where: str, values: tuple[Any, ...]) -> bool:
        """Copy the rows from the first to the last, then, if that fails, from the last to the first. Return
        whether all were read."""
        return self._rows(where, values, "ASC")[0] or self._rows(where, values, "DESC")[0]

    def ranges(self, inc: int | None) -> None:
        """Copy the rows between those that `scan` reached, in smaller and smaller ranges of the last key."""
        self._left = MAX_RANGES
        self._range(inc, 0, 1 << 40)

    def _range(self, inc: int | None, low: int, high: int) -> None:
        if low > high or self._left <= 0:
            return
        self._left -= 1
        where = f"WHERE {self._key[-1]} BETWEEN ? AND ?" + ("" if inc is None else " AND inc = ?")
        values = (low, high, *(() if inc is None else (inc,)))
        whole, first = self._rows(where, values, "ASC")
        if whole:
            return
        whole, last = self._rows(where, values, "DESC")
        if whole:
            return
        low = low if first is None else first + 1
        high = high if last is None else last - 1
        if low < high:
            middle = (low + high) // 2
            self._range(inc, low, middle)
            self._range(inc, middle + 1, high)

    def _rows(self, where: str, values: tuple[Any, ...], order: str) -> tuple[bool, int | None]:
        """Copy rows until one cannot be read. Return whether all were read, and the last key that was."""
        by = ", ".join(f"{column} {order}" for column in self._key)
        last = None
        try:
            for row in self._source.execute(f"{self._select} {where} ORDER BY {by}", values):
                with suppress(sqlite3.IntegrityError):
                    self._target.execute(self._insert, row)
                last = row[self._at]
        except DAMAGE:
            return False, last if isinstance(last, int) else None
        return True, last if isinstance(last, int) else None


def _note_seals(target: sqlite3.Connection, sealing: Sealing) -> None:
    """Find the keys of sealed values again, because the table of them may be damaged. An id that only some
    values have may be damaged, too.

    Raises:
        KeysUnavailable: there are such values, but the keys, or one of them, are missing.
    """
    if not (found := keys_of_values(target)):
        return
    listed, ring = keys_in_use(target), sealing.require_ring()
    if not ring.exists:
        raise KeysUnavailable("the database has sealed content; put keys.json back from your copy")
    ring.load()
    ring.load(needed=[key for key, count in found.items() if key in listed or count > FEW])
    target.execute("DELETE FROM seals")
    target.executemany("INSERT INTO seals VALUES (?)", [(key,) for key in found if ring.has(key)])
    # some of what is put in the place of lost events is not sealed
    target.execute("INSERT OR REPLACE INTO meta VALUES ('sealed', ?)", (MIXED,))
    sealing.may_be_sealed = True


def _repair(target: sqlite3.Connection, sealing: Sealing) -> None:
    """Close the gaps in the streams, and let no row get a version that was used before."""
    for table in ("events", "texts"):
        target.execute(f"DELETE FROM {table} WHERE inc NOT IN (SELECT id FROM incarnations)")
    origins = origins_of(target)
    _drop_unreadable(target, sealing, origins)
    target.execute("UPDATE incarnations SET base = NULL WHERE base NOT IN (SELECT id FROM incarnations)")
    for inc, earliest in target.execute("SELECT id, earliest FROM incarnations").fetchall():
        _close_gaps(target, sealing, origins, inc, earliest)
    (version,) = target.execute("SELECT max(version) FROM rows").fetchone()
    target.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", ((version or 0) + VERSIONS,))


def _close_gaps(
    target: sqlite3.Connection, sealing: Sealing, origins: dict[int, str], inc: int, earliest: int
) -> None:
    """Put a `folded` event in the place of missing events, so that readers pass it and no number is reused.
    Messages may be left of the last events."""
    query = "SELECT seq, at, type, turn_id, step, data FROM events WHERE inc = ? AND seq >= ? ORDER BY seq"
    after, last_at, gaps = earliest, 0, []
    for seq, at, kind, turn_id, step, data in target.execute(query, (inc, earliest)):
        last_at = at
        row = {"inc": inc, "seq": seq, "type": kind, "turn_id": turn_id, "step": step, "data": data}
        if not is_sound("events", row, sealing, origins):
            continue  # it belongs to the gap
        first = seq
        if kind == Folded.type:
            opened = sealing.opened_event(origins[inc], seq, data)
            first = msgspec.json.decode(opened, type=Folded).from_seq
        if first > after:
            gaps.append((after, first - 1, at))
        after = seq + 1
    (spoken,) = target.execute("SELECT max(seq) FROM texts WHERE inc = ?", (inc,)).fetchone()
    (written,) = target.execute("SELECT max(seq) FROM events WHERE inc = ?", (inc,)).fetchone()
    head = max(spoken or 0, written or 0)
    if head >= after:
        gaps.append((after, head, last_at))
    for begin, end, at in gaps:
        target.execute("DELETE FROM events WHERE inc = ? AND seq BETWEEN ? AND ?", (inc, begin, end))
        data = msgspec.json.encode(Folded(begin, end))
        target.execute(
            "INSERT INTO events (inc, seq, at, type, data) VALUES (?, ?, ?, ?, ?)",
            (inc, end, at, Folded.type, data),
        )


def _drop_unreadable(target: sqlite3.Connection, sealing: Sealing, origins: dict[int, str]) -> None:
    """Drop the rows that the hub could not read. Events are replaced instead."""
    for table in ("texts", "rows", "keys"):
        key = TABLES[table]
        cursor = target.execute(f"SELECT * FROM {table}")
        columns = [column[0] for column in cursor.description]
        found = (dict(zip(columns, row, strict=True)) for row in cursor.fetchall())
        damaged = [
            tuple(row[name] for name in key) for row in found if not is_sound(table, row, sealing, origins)
        ]
        where = " AND ".join(f"{name} = ?" for name in key)
        target.executemany(f"DELETE FROM {table} WHERE {where}", damaged)


def _source(path: Path) -> sqlite3.Connection:
    source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    source.text_factory = lambda data: data.decode(errors="replace")
    return source


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))]
