"""Adapts a database to `encryption.at_rest` when it is opened, and seals plain credentials.

It can be interrupted at any point; the next start continues. When it has ended, nothing plain is left in the
tables. The server's write-ahead log, its archives and its backups are not changed.
"""

from __future__ import annotations

import logging

from asyncpg import UndefinedTableError

from rhetor.sealing.envelope import is_sealed
from rhetor.store.base import CREDENTIALS
from rhetor.store.resealing import Place
from rhetor.store.sealed import ALL, MIXED, Sealing, of_row

from .connection import ERRORS, Connection, close, connect, refusal
from .resealing import Pass
from .statements import sql

_LOCK = "SELECT pg_advisory_lock(hashtext('rhetor seals ' || current_schema()))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtext('rhetor seals ' || current_schema()))"
log = logging.getLogger(__name__)


async def settle(connection: Connection, sealing: Sealing) -> None:
    """Load the keys of what is sealed, seal what is to be sealed, and let `sealing` know what is.

    Raises:
        KeysUnavailable: there is sealed content, and its keys cannot be read; or none can be made.
    """
    await connection.execute(_LOCK)
    try:
        state = await connection.fetchval(sql("sealed_state")) or 0
        if sealing.follows:
            sealing.at_rest = state == ALL
        sealing.may_be_sealed = sealing.at_rest or state != 0
        if needed := {key for (key,) in await connection.fetch(sql("seals"))}:
            sealing.require_ring().load(needed=needed)
        if sealing.at_rest and state != ALL:
            await _seal_all(connection, sealing)
        elif not sealing.at_rest and state == ALL:  # what is written from now on is plain
            await connection.execute(sql("set_sealed_state"), MIXED)
        await _seal_credentials(connection, sealing)
        sealing.must_be_sealed = sealing.at_rest
        sealing.credentials_are_sealed = sealing.ring is not None
    finally:
        await connection.execute(_UNLOCK)


async def keys_of(url: str) -> set[bytes]:
    """Return the ids of the keys with which values in a database are sealed; none if it has no tables.

    Raises:
        StoreRefused: it cannot be read.
    """
    connection = await connect(url, "keys")
    try:
        return {key for (key,) in await connection.fetch(sql("seals"))}
    except UndefinedTableError:  # of a hub that has not started yet
        return set()
    except ERRORS as error:
        raise refusal(error) from error
    finally:
        await close(connection)


async def _seal_all(connection: Connection, sealing: Sealing) -> None:
    await connection.execute(sql("set_sealed_state"), MIXED)
    place: Place | None = Place()
    changed = 0
    while place is not None:
        async with connection.transaction():
            step = await Pass(connection, sealing).step(place)
        sealing.note()
        changed, place = changed + step.changed, step.place
    if changed:
        log.info("database sealed", extra={"values": changed})
        for table in ("events", "texts", "rows", "keys", "blobs"):  # free space may have plain content
            await connection.execute(f"VACUUM FULL {table}")
    await connection.execute(sql("set_sealed_state"), ALL)


async def _seal_credentials(connection: Connection, sealing: Sealing) -> None:
    """Seal the documents with credentials that were stored plainly."""
    if sealing.ring is None:
        return
    async with connection.transaction():
        rows = await connection.fetch(sql("credentials"), sorted(CREDENTIALS))
        plain = [tuple(row) for row in rows if not is_sealed(row[2])]
        for kind, id, doc in plain:
            await connection.execute(sql("resealed_rows"), kind, id, sealing.seal(doc, of_row(kind, id)))
        if sealing.new_keys:
            await connection.execute(sql("add_seals"), sorted(sealing.new_keys))
    sealing.note()
    if plain:
        log.info("credentials sealed", extra={"rows": len(plain)})
