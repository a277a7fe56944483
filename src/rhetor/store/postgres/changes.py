"""The requests that change or remove what is stored, each in its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from rhetor.domain.event import Event
from rhetor.errors import NotFound
from rhetor.store.base import Record
from rhetor.store.commit import Append, admit
from rhetor.store.incarnation import Incarnation
from rhetor.store.messages import clipped
from rhetor.store.requests import Fold, ForgetKeys, ForgetStream, Landed, Renew, Request, Sweep, Truncate
from rhetor.store.sealed import Sealing

from .connection import Connection
from .incarnations import incarnation_of
from .owners import Owners
from .resealing import Pass
from .statements import sql
from .transaction import EVENT_BYTES, Transaction

SWEEP = 2000  # events that are deleted at a time


async def change(
    connection: Connection, request: Request, new_epoch: Callable[[], str], sealing: Sealing, node: int
) -> Landed:
    """Execute a request other than `Append` for a node. The caller commits.

    Raises:
        NotFound, StateConflict, StreamElsewhere: it is rejected and changes nothing.
    """
    match request:
        case Fold(stream, folds):
            return await _fold(connection, sealing, await _locked(connection, stream, node), folds)
        case Truncate(stream, before):
            return await _truncate(connection, await _locked(connection, stream, node), before)
        case Sweep(stream):
            return await _sweep(connection, await _locked(connection, stream, node))
        case ForgetStream(stream, dropping):
            await _locked(connection, stream, node)
            transaction = Transaction(connection, new_epoch, sealing, {}, {}, node)
            return await _forget(connection, stream, dropping, transaction)
        case Renew(after, retired):
            return Landed(await Pass(connection, sealing, retired).step(after))
        case ForgetKeys(retired):
            await connection.execute(sql("forget_seals"), sorted(retired))
            return Landed(None)
        case Append():
            raise TypeError("commits are executed in groups")


async def _locked(connection: Connection, stream: str, node: int) -> Incarnation:
    row = await connection.fetchrow(sql("lock_streams"), [stream])
    if row is None:
        raise NotFound("stream", stream)
    present, owners = incarnation_of(row), Owners(node)
    await owners.read(connection, [present])
    owners.require_own(stream)
    return present


async def _fold(
    connection: Connection, sealing: Sealing, present: Incarnation, folds: Sequence[Event]
) -> Landed:
    went, size, records = 0, 0, list[Record]()
    for fold in folds:
        if fold.position.epoch != present.epoch:
            break  # the stream was restored since
        first = max(fold.prev + 1, present.earliest)
        row = await connection.fetchrow(sql("delete_chunks"), present.id, first, fold.seq)
        count, freed = row or (0, 0)
        if count:
            went, size = went + count, size + freed + count * EVENT_BYTES
            records.append(clipped(fold, present.earliest))
    data = [sealing.event(present.origin, r.seq, r.data) for r in records]
    columns = [[getattr(r, name) for r in records] for name in ("seq", "at", "type", "turn_id", "step")]
    await connection.execute(sql("add_events"), [present.id] * len(records), *columns, data)
    size -= sum(len(each) + EVENT_BYTES for each in data)
    await connection.execute(sql("shrink"), present.id, size)
    if sealing.new_keys:
        await connection.execute(sql("add_seals"), sorted(sealing.new_keys))
    return Landed(went, present.stream, present.standing(), folds=records)


async def _truncate(connection: Connection, present: Incarnation, before: int) -> Landed:
    after = replace(present, earliest=max(present.earliest, min(before, present.head + 1)))
    await connection.execute(sql("set_earliest"), after.id, after.earliest)
    return Landed(None, after.stream, after.standing())


async def _sweep(connection: Connection, present: Incarnation) -> Landed:
    row = await connection.fetchrow(sql("sweep"), present.id, present.earliest, SWEEP)
    count, size = row or (0, 0)
    if count:
        await connection.execute(sql("shrink"), present.id, size + count * EVENT_BYTES)
    return Landed(count == SWEEP)


async def _forget(connection: Connection, stream: str, dropping: Append, transaction: Transaction) -> Landed:
    await transaction.read([dropping])
    admit(dropping, transaction)
    if await connection.fetchval(sql("continued"), stream):
        return Landed(False)
    for name in ("forget_texts", "forget_events", "forget_incarnations"):
        await connection.execute(sql(name), stream)
    transaction.put_rows(dropping)
    await transaction.write()
    return Landed(True)
