"""Which keys a database needs: reads how much of it is sealed, and with which keys."""

from __future__ import annotations

import sqlite3

from rhetor.sealing.envelope import ID_BYTES, MARK
from rhetor.sealing.ring import Ring
from rhetor.store.sealed import ALL, Sealing


def sealing_of(connection: sqlite3.Connection, ring: Ring | None) -> Sealing:
    """Return what opens the values of a database, for a command that reads it.

    Raises:
        KeysUnavailable: values are sealed, and their keys cannot be read.
    """
    sealing = Sealing(ring, at_rest=None)
    require_keys(connection, sealing)
    sealing.must_be_sealed = sealing.at_rest
    return sealing


def require_keys(connection: sqlite3.Connection, sealing: Sealing) -> None:
    """Load the keys of the database's sealed content.

    Raises:
        KeysUnavailable: they cannot be read, or one is missing.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'seals'").fetchone():
        return  # new, or of an earlier version
    state = read_state(connection)
    sealing.may_be_sealed = sealing.may_be_sealed or state != 0
    if sealing.follows:
        sealing.at_rest = state == ALL
    if not (needed := keys_in_use(connection)):
        return
    ring = sealing.require_ring()
    if ring.exists:
        ring.load()
        used = keys_of_values(connection) if any(not ring.has(key) for key in needed) else {}
        needed = {key for key in needed if ring.has(key) or key in used}  # a damaged id is none
    ring.load(needed=needed)


def read_state(connection: sqlite3.Connection) -> int:
    """Return how much is sealed: 0 (only credentials), `MIXED` or `ALL`."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'sealed'").fetchone()
    return int(found[0]) if found else 0


def keys_in_use(connection: sqlite3.Connection) -> set[bytes]:
    """Return the ids of the keys with which values in the tables are sealed."""
    return {key for (key,) in connection.execute("SELECT key FROM seals")}


def keys_of_values(connection: sqlite3.Connection) -> dict[bytes, int]:
    """Return the ids in all sealed values, and how many values have each. This reads the whole database."""
    found: dict[bytes, int] = {}
    for table, column in (("events", "data"), ("texts", "content"), ("rows", "doc"), ("keys", "result")):
        query = (
            f"SELECT substr({column}, 2, {ID_BYTES}), count(*) FROM {table}"
            f" WHERE typeof({column}) = 'blob' AND substr({column}, 1, 1) = ? GROUP BY 1"
        )
        for key, count in connection.execute(query, (MARK,)):
            found[key] = found.get(key, 0) + count
    return found


def note_keys(connection: sqlite3.Connection, sealing: Sealing) -> None:
    """Store which keys were used, in the transaction that writes what was sealed with them."""
    connection.executemany("INSERT OR IGNORE INTO seals VALUES (?)", [(key,) for key in sealing.new_keys])
