"""Adapts a database to `encryption.at_rest` when it is opened, and seals plain credentials.

It can be interrupted at any point; the next start continues. When it has ended, nothing plain is left in the
file, its free pages, or the write-ahead log. Copies that somebody else has made are not changed.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from rhetor.sealing.envelope import is_sealed
from rhetor.store.base import CREDENTIALS
from rhetor.store.resealing import Place
from rhetor.store.sealed import ALL, MIXED, Sealing, of_row

from .connection import atomic, connect
from .resealing import Pass
from .sealed import note_keys, read_state

STEPS = 16  # in one transaction
log = logging.getLogger(__name__)


def settle(path: Path, sealing: Sealing) -> str | None:
    """Seal what is to be sealed, and let `sealing` know what is. Return a sentence for the user if plain
    content may be left.

    Raises:
        KeysUnavailable: there are no keys, and none can be made.
        sqlite3.Error: the database cannot be written; the next call continues.
    """
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        state = read_state(connection)
        if sealing.at_rest and state != ALL:
            _seal_all(path, connection, sealing)
        elif not sealing.at_rest and state == ALL:  # what is written from now on is plain
            with atomic(connection, "BEGIN IMMEDIATE"):
                _set(connection, "sealed", MIXED)
        _seal_credentials(connection, sealing)
        sealing.may_be_sealed = sealing.at_rest or state != 0
        sealing.must_be_sealed = sealing.at_rest
        sealing.credentials_are_sealed = sealing.ring is not None
        return _clear_free_pages(path, connection)


def _seal_all(path: Path, connection: sqlite3.Connection, sealing: Sealing) -> None:
    had_content = _has_content(connection)
    with atomic(connection, "BEGIN IMMEDIATE"):
        _set(connection, "sealed", MIXED)
        if had_content:
            _set(connection, "vacuum", 1)
            log.info("sealing the database", extra={"path": str(path)})
        connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
    sealing.may_be_sealed = True
    place: Place | None = Place()
    changed = 0
    while place is not None:
        with atomic(connection, "BEGIN IMMEDIATE"):
            for _ in range(STEPS):
                step = Pass(connection, sealing).step(place)
                changed, place = changed + step.changed, step.place
                if place is None:
                    break
            note_keys(connection, sealing)
        sealing.note()
        # so that the write-ahead log does not grow with the database
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    with atomic(connection, "BEGIN IMMEDIATE"):
        _set(connection, "sealed", ALL)
    if had_content:
        log.info("database sealed", extra={"values": changed})


def _has_content(connection: sqlite3.Connection) -> bool:
    tables = ("events", "texts", "rows", "keys")
    return any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)


def _seal_credentials(connection: sqlite3.Connection, sealing: Sealing) -> None:
    """Seal the documents with credentials that an earlier version has stored plainly."""
    if sealing.ring is None:
        return
    kinds = sorted(CREDENTIALS)
    query = f"SELECT kind, id, doc FROM rows WHERE kind IN ({', '.join('?' * len(kinds))})"
    plain = [row for row in connection.execute(query, kinds).fetchall() if not is_sealed(row[2])]
    if not plain:
        return
    with atomic(connection, "BEGIN IMMEDIATE"):
        _set(connection, "vacuum", 1)
        connection.executemany(
            "UPDATE rows SET doc = ? WHERE kind = ? AND id = ?",
            [(sealing.seal(doc, of_row(kind, id)), kind, id) for kind, id, doc in plain],
        )
        note_keys(connection, sealing)
    sealing.note()
    log.info("credentials sealed", extra={"rows": len(plain)})


def _clear_free_pages(path: Path, connection: sqlite3.Connection) -> str | None:
    """Write the file anew if free pages, or the write-ahead log, may have plain content."""
    if not connection.execute("SELECT 1 FROM meta WHERE key = 'vacuum'").fetchone():
        return None
    connection.execute("VACUUM")
    (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        return f"another program reads {path}, so plain content may be left in it until the hub starts again"
    with atomic(connection, "BEGIN IMMEDIATE"):
        connection.execute("DELETE FROM meta WHERE key = 'vacuum'")
    return None


def _set(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
