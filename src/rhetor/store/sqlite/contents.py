"""Checks that the values in the tables can be read. SQLite's own checks do not look into them.

This reads the whole database, so it is only done if the file was changed by something else than the hub.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from rhetor.errors import StoreDamaged
from rhetor.store.encoding import decode

TABLES = ("incarnations", "events", "texts", "rows", "keys", "sources", "meta")


def require_readable(path: Path, connection: sqlite3.Connection) -> None:
    """Check all values in the database at `path`.

    Raises:
        StoreDamaged: a text is not valid UTF-8, an event cannot be decoded, or a document is not JSON.
    """
    unreadable = [table for table in TABLES if not _is_readable(connection, table)]
    if unreadable:
        raise StoreDamaged(
            str(path), [f"a value in the table {table} cannot be read" for table in unreadable]
        )


def _is_readable(connection: sqlite3.Connection, table: str) -> bool:
    cursor = connection.execute(f"SELECT * FROM {table} LIMIT 0")
    columns = [column[0] for column in cursor.description]
    try:
        return all(
            is_sound(table, dict(zip(columns, row, strict=True)))
            for row in connection.execute(f"SELECT * FROM {table}")
        )
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):  # the error is SQLite's, not the decoder's
            raise
        return False


def is_sound(table: str, row: dict[str, Any]) -> bool:
    """Whether the values of a row can be read. Ids with U+FFFD were not valid UTF-8: no id contains it."""
    if any("\ufffd" in str(row[name]) for name in _IDS.get(table, ())):
        return False
    try:
        if table == "events":
            decode(row["type"], row["data"])
        elif table == "rows":
            msgspec.json.decode(row["doc"])
        elif table == "keys":
            msgspec.json.decode(row["result"])
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
        return False
    return True


_IDS = {
    "events": ("type", "turn_id", "step"),
    "rows": ("kind", "id", "state", "owner", "parent"),
    "incarnations": ("stream", "epoch"),
}
