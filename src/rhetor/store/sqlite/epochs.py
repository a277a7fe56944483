"""Begins a new epoch of every stream, when the history in the file is not the one that clients may have seen.

The events and their numbers stay. A client whose cursor has an earlier epoch is told so and reads again.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

from rhetor.errors import SealBroken
from rhetor.sealing.envelope import is_sealed
from rhetor.store.incarnation import with_new_epochs
from rhetor.store.sealed import Sealing, of_row

from .connection import atomic
from .sealed import note_keys

log = logging.getLogger(__name__)


def begin_new_epochs(connection: sqlite3.Connection, sealing: Sealing, new_epoch: Callable[[], str]) -> None:
    """Give every stream a new epoch, also where rows and idempotency keys refer to the earlier one. Sealed
    events stay sealed for the earlier one."""
    with atomic(connection, "BEGIN IMMEDIATE"):
        found = connection.execute("SELECT id, epoch FROM incarnations WHERE present").fetchall()
        renewed = {old: new_epoch() for _, old in found}
        connection.executemany(
            "UPDATE incarnations SET sealed_as = coalesce(sealed_as, epoch), epoch = ? WHERE id = ?",
            [(renewed[old], id) for id, old in found],
        )
        connection.executemany(
            "UPDATE keys SET epoch = ? WHERE epoch = ?", [(n, o) for o, n in renewed.items()]
        )
        _rename_in_rows(connection, sealing, {o.encode(): n.encode() for o, n in renewed.items()})


def _rename_in_rows(connection: sqlite3.Connection, sealing: Sealing, renewed: dict[bytes, bytes]) -> None:
    changed = []
    for kind, id, doc in connection.execute("SELECT kind, id, doc FROM rows"):
        try:
            opened = sealing.opened_doc(kind, id, doc)
        except SealBroken as error:  # whoever reads it is told so
            log.error("unreadable row", extra={"kind": kind, "id": id, "reason": error.detail})
            continue
        after = with_new_epochs(opened, renewed)
        if after != opened:
            changed.append((sealing.seal(after, of_row(kind, id)) if is_sealed(doc) else after, kind, id))
    connection.executemany("UPDATE rows SET doc = ? WHERE kind = ? AND id = ?", changed)
    note_keys(connection, sealing)
