"""Removes credentials that can no longer be opened from a restored database.

A plain backup has no keys, as it does not have the token. On another machine, the credentials in it are lost;
everything else is restored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rhetor.sealing.envelope import is_sealed, key_id_of
from rhetor.sealing.ring import Ring
from rhetor.store.base import CREDENTIALS
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.sealed import keys_in_use, read_state

_NAMES = {
    "tool-server": "the MCP server {}",
    "signing_key": "the keys that sign tokens",
    "audit_key": "the key that verifies the audit",
}


def drop_lost_credentials(database: Path, ring: Ring) -> Sequence[str]:
    """Remove the credentials whose keys `ring` does not have. Return the names of what is lost, for the user.
    If other content is sealed too, nothing is changed: such a database cannot be used without its keys.

    Raises:
        KeysUnavailable: the file of the keys cannot be read.
    """
    with closing(connect(database)) as connection:
        if not _has_seals(connection) or read_state(connection):
            return ()
        missing = keys_in_use(connection) - {key.key_id for key in ring.listed()}
        if not missing:
            return ()
        lost = [
            place for place, doc in _credentials(connection) if is_sealed(doc) and key_id_of(doc) in missing
        ]
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM rows WHERE kind = ? AND id = ?", lost)
            connection.executemany("DELETE FROM seals WHERE key = ?", [(key,) for key in missing])
    return sorted({_NAMES.get(kind, kind).format(id) for kind, id in lost})


def _has_seals(connection: sqlite3.Connection) -> bool:
    """Whether the database is new enough to have sealed values."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seals'"
    return connection.execute(query).fetchone() is not None


def _credentials(connection: sqlite3.Connection) -> list[tuple[tuple[str, str], bytes]]:
    marks = ", ".join("?" * len(CREDENTIALS))
    query = f"SELECT kind, id, doc FROM rows WHERE kind IN ({marks})"
    return [((kind, id), doc) for kind, id, doc in connection.execute(query, sorted(CREDENTIALS))]
