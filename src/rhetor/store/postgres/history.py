"""Recognizes a database that was restored to an earlier state, and begins new epochs then.

Clients may have seen events that such a database does not have, and the same numbers will be given to others.
Each node remembers, in a small file of its own, how many transactions it has committed. If its row in the
database counts fewer, some are lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import Struct

from rhetor.errors import SealBroken, StoreRefused
from rhetor.store.incarnation import with_new_epochs
from rhetor.store.sealed import Sealing, of_row

from .connection import Connection
from .statements import sql

RECORD_BYTES = 256
ROWS = 500  # that are read at once
WAIT_SECONDS, PAUSE = 12.0, 0.25  # a lease is shorter
RESTORED = "the database was restored to an earlier state, so all streams have new epochs: clients read again"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('rhetor history ' || current_schema()))"
log = logging.getLogger(__name__)


class Seen(Struct, frozen=True):
    """What a node knows of the database. `root`: its first history, by which it is recognized; `history`: the
    newest one; `commits`: how many transactions of this node it has."""

    root: int
    history: int
    commits: int


class Witness:
    """The file in which a node remembers what it has committed. It is written without waiting for the disk:
    after a power cut it may be older than the database, but never newer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._seen = self._read()

    @property
    def seen(self) -> Seen | None:
        return self._seen

    def begin(self, seen: Seen) -> None:
        """Remember this, and then what `note` adds to it."""
        if self._fd is None:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write(seen)

    def note(self, commits: int) -> None:
        """Remember how many transactions this node has committed."""
        if self._seen is not None:
            self._write(Seen(self._seen.root, self._seen.history, commits))

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, seen: Seen) -> None:
        self._seen = seen
        if self._fd is None:
            return
        try:
            os.pwrite(self._fd, msgspec.json.encode(seen).ljust(RECORD_BYTES), 0)
        except OSError as error:
            log.warning("writing the witness of the database failed", extra={"reason": error.strerror})

    def _read(self) -> Seen | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Seen)
        except (OSError, msgspec.DecodeError):
            return None


async def check_history(
    connection: Connection,
    witness: Witness,
    node: int,
    commits: int,
    sealing: Sealing,
    new_epoch: Callable[[], str],
) -> bool:
    """Begin new epochs if the database lacks something that this node has committed, and return whether it
    did. `node`: the id of this node; `commits`: how many transactions of it the database has.

    Raises:
        StoreRefused: it lacks something, and other nodes already use it.
    """
    async with connection.transaction():
        is_lost = _has_lost(await _histories(connection), witness.seen, commits)
    if is_lost:
        await _until_alone(connection, node)
    async with connection.transaction():
        histories = await _histories(connection)
        if is_lost:
            await _renew(connection, histories, sealing, new_epoch)
    sealing.note()
    witness.begin(Seen(histories[0], histories[-1], commits))
    return is_lost


async def _until_alone(connection: Connection, node: int) -> None:
    """Wait until no lease of another node is left: a backup has those of its time.

    Raises:
        StoreRefused: another node keeps its lease, because it runs.
    """
    began = monotonic()
    while others := [address for (address,) in await connection.fetch(sql("other_nodes"), node)]:
        if monotonic() - began > WAIT_SECONDS:
            raise StoreRefused(
                f"the database was restored to an earlier state, and is used by {', '.join(others)}",
                hint="stop all nodes, and start this one first",
            )
        await asyncio.sleep(PAUSE)


async def begin_new_epochs(connection: Connection, sealing: Sealing, new_epoch: Callable[[], str]) -> int:
    """Give every stream a new epoch. Return how many streams there are. No node may use the database."""
    async with connection.transaction():
        histories = await _histories(connection)
        count = await _renew(connection, histories, sealing, new_epoch)
    sealing.note()
    return count


async def _histories(connection: Connection) -> list[int]:
    """Return the histories of the database, the newest last. It gets its first one here."""
    await connection.execute(_LOCK)
    found = [value for (value,) in await connection.fetch(sql("histories"))]
    if not found:
        await _begin_history(connection, found)
    return found


async def _begin_history(connection: Connection, histories: list[int]) -> None:
    histories.append(secrets.randbits(62))
    await connection.execute(sql("begin_history"), len(histories), histories[-1])


def _has_lost(histories: list[int], seen: Seen | None, commits: int) -> bool:
    """Return whether the database lacks something that a node has seen. What it lacks from an earlier history
    was noticed when the next one began."""
    if seen is None or seen.root != histories[0]:
        return False
    return seen.history not in histories or (seen.history == histories[-1] and commits < seen.commits)


async def _renew(
    connection: Connection, histories: list[int], sealing: Sealing, new_epoch: Callable[[], str]
) -> int:
    """Give every stream a new epoch, also where rows and idempotency keys refer to the earlier one."""
    await _begin_history(connection, histories)
    found = await connection.fetch(sql("present_epochs"))
    renewed = {epoch: new_epoch() for _, epoch in found}
    await connection.execute(sql("renew_epochs"), [id for id, _ in found], list(renewed.values()))
    await connection.execute(sql("renew_key_epochs"), list(renewed), list(renewed.values()))
    await _rename_in_rows(connection, sealing, {o.encode(): n.encode() for o, n in renewed.items()})
    if sealing.new_keys:
        await connection.execute(sql("add_seals"), sorted(sealing.new_keys))
    return len(found)


async def _rename_in_rows(connection: Connection, sealing: Sealing, renewed: dict[bytes, bytes]) -> None:
    place = "", ""
    while rows := await connection.fetch(sql("reseal_rows"), ROWS, *place):
        for kind, id, doc in rows:
            place = kind, id
            try:
                opened = sealing.opened_doc(kind, id, doc)
            except SealBroken as error:  # whoever reads it is told so
                log.error("unreadable row", extra={"kind": kind, "id": id, "reason": error.detail})
                continue
            after = with_new_epochs(opened, renewed)
            if after != opened:
                stored = sealing.seal(after, of_row(kind, id)) if opened != doc else after
                await connection.execute(sql("resealed_rows"), kind, id, stored)
