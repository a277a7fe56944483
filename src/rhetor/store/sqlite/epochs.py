"""Begins a new epoch of every stream, when the history in the file is not the one that clients may have seen.

The events and their numbers stay. A client whose cursor has an earlier epoch is told so and reads again.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable

from .connection import atomic

_EPOCH = re.compile(rb"[0-9a-zA-Z]{32}")


def begin_new_epochs(connection: sqlite3.Connection, new_epoch: Callable[[], str]) -> None:
    """Give every stream a new epoch, also where rows and idempotency keys refer to the earlier one."""
    with atomic(connection, "BEGIN IMMEDIATE"):
        found = connection.execute("SELECT id, epoch FROM incarnations WHERE present").fetchall()
        renewed = {old: new_epoch() for _, old in found}
        connection.executemany(
            "UPDATE incarnations SET epoch = ? WHERE id = ?", [(renewed[old], id) for id, old in found]
        )
        connection.executemany(
            "UPDATE keys SET epoch = ? WHERE epoch = ?", [(n, o) for o, n in renewed.items()]
        )
        _rename_in_rows(connection, {o.encode(): n.encode() for o, n in renewed.items()})


def _rename_in_rows(connection: sqlite3.Connection, renewed: dict[bytes, bytes]) -> None:
    def renamed(match: re.Match[bytes]) -> bytes:
        return renewed.get(match[0], match[0])

    changed = []
    for kind, id, doc in connection.execute("SELECT kind, id, doc FROM rows"):
        after = _EPOCH.sub(renamed, doc)
        if after != doc:
            changed.append((after, kind, id))
    connection.executemany("UPDATE rows SET doc = ? WHERE kind = ? AND id = ?", changed)
