"""Checks that the values in the tables can be read. SQLite's own checks do not look into them.

This reads the whole database, so it is only done if the file was changed by something else than the hub.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from rhetor.errors import SealBroken, StoreDamaged
from rhetor.store.encoding import decode
from rhetor.store.sealed import Sealing

TABLES = ("incarnations", "events", "texts", "rows", "keys", "sources", "meta")


def require_readable(path: Path, connection: sqlite3.Connection, sealing: Sealing) -> None:
    """Check all values in the database at `path`.

    Raises:
        StoreDamaged: a text is not valid UTF-8, an event cannot be decoded, a document is not JSON, or a
            sealed value was changed.
    """
    origins = origins_of(connection)
    unreadable = [table for table in TABLES if not _is_readable(connection, table, sealing, origins)]
    if unreadable:
        raise StoreDamaged(
            str(path), [f"a value in the table {table} cannot be read" for table in unreadable]
        )


def origins_of(connection: sqlite3.Connection) -> dict[int, str]:
    """Return the epochs for which the content of incarnations was sealed, by their ids."""
    columns = [column[1] for column in connection.execute("PRAGMA table_info(incarnations)")]
    origin = "coalesce(sealed_as, epoch)" if "sealed_as" in columns else "epoch"  # of an earlier schema
    return dict(connection.execute(f"SELECT id, {origin} FROM incarnations").fetchall())


def _is_readable(
    connection: sqlite3.Connection, table: str, sealing: Sealing, origins: dict[int, str]
) -> bool:
    cursor = connection.execute(f"SELECT * FROM {table} LIMIT 0")
    columns = [column[0] for column in cursor.description]
    try:
        return all(
            is_sound(table, dict(zip(columns, row, strict=True)), sealing, origins)
            for row in connection.execute(f"SELECT * FROM {table}")
        )
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):  # the error is SQLite's, not the decoder's
            raise
        return False


def is_sound(table: str, row: dict[str, Any], sealing: Sealing, origins: dict[int, str]) -> bool:
    """Whether the values of a row can be read. Ids with U+FFFD were not valid UTF-8: no id contains it.

    Raises:
        KeysUnavailable: a value is sealed, but there are no keys.
    """
    if any("\ufffd" in str(row[name]) for name in _IDS.get(table, ())):
        return False
    try:
        if table == "events":
            decode(row["type"], sealing.opened_event(origins.get(row["inc"], ""), row["seq"], row["data"]))
        elif table == "texts":
            sealing.opened_text(origins.get(row["inc"], ""), row["seq"], row["content"])
        elif table == "rows":
            msgspec.json.decode(sealing.opened_doc(row["kind"], row["id"], row["doc"]))
        elif table == "keys":
            msgspec.json.decode(sealing.opened_result(row["scope"], row["key"], row["result"]))
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError, SealBroken):
        return False
    return True


_IDS = {
    "events": ("type", "turn_id", "step"),
    "rows": ("kind", "id", "state", "owner", "parent"),
    "incarnations": ("stream", "epoch"),
}
