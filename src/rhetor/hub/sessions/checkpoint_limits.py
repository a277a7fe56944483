"""Removes the checkpoints that the configuration does not keep, and then the content that no checkpoint has.

A checkpoint that a person gave a name is never removed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from rhetor.domain.event import CheckpointRemoved
from rhetor.errors import StateConflict, StoreRefused
from rhetor.hub.catalog.checkpoints import KIND, CheckpointRow, checkpoint_of
from rhetor.store.base import Draft, Expect
from rhetor.store.files.base import DamagedObject

from .session_files import one_at_a_time

if TYPE_CHECKING:
    from rhetor.hub.state import State

Limit = Literal["checkpoints.keep", "checkpoints.max_age_days", "checkpoints.max_bytes"]
Surplus = tuple[CheckpointRow, Limit]

ALL = 1 << 40  # more rows than there can be: content of a checkpoint that is overlooked would be lost
DAY = 86_400_000  # milliseconds
SHRUNK = 0.9  # of `max_bytes` is what remains, so that the next checkpoint does not exceed it at once
SHRINK_SECONDS = 600.0  # between two attempts to shrink, because content that was just stored is kept so long
SWEEP_SECONDS = 3600.0
log = logging.getLogger(__name__)


class Removed(Struct, frozen=True):
    """A checkpoint that was removed, and the setting because of which it was."""

    checkpoint: CheckpointRow
    limit: Limit


class Applied(Struct, frozen=True):
    """What limits removed. `named_bytes`: what all files take on the disk, if that is more than
    `checkpoints.max_bytes`, and nothing is left that may be removed."""

    removed: Sequence[Removed] = ()
    named_bytes: int | None = None


async def of_session(state: State, session_id: str) -> Sequence[CheckpointRow]:
    """Return the session's checkpoints, oldest first."""
    rows = await state.store.find(KIND, parent=session_id, limit=ALL)
    return [checkpoint_of(row) for row in rows]


async def apply_limits(state: State, made: CheckpointRow, turn_id: str | None = None) -> Applied:
    """Remove what is too much now that this checkpoint was made. What the store does not let us remove is
    removed after the next one. `turn_id`: the turn before which it was made; its readers learn of the first
    checkpoint that each setting removes from the session."""
    found = list(_too_many(state, await of_session(state, made.session_id)))
    removed = await _remove_all(state, found, turn_id)
    named_bytes = None
    if made.files is not None and (size := await _excessive_size(state)) is not None:
        large, are_all = await _too_large(state, made)
        removed += await _remove_all(state, large, turn_id)
        named_bytes = size if are_all else None
        state.background.start(collect(state), "collect content of checkpoints")
    return Applied(removed, named_bytes)


def _too_many(state: State, found: Sequence[CheckpointRow]) -> Iterator[Surplus]:
    limits = state.limits.checkpoints
    unnamed = [row for row in found if not row.is_named]
    surplus = len(unnamed) - limits.keep
    for number, row in enumerate(unnamed):
        if number < surplus:
            yield row, "checkpoints.keep"
        elif _is_old(state, row):
            yield row, "checkpoints.max_age_days"


def _is_old(state: State, row: CheckpointRow) -> bool:
    return state.ids.since(row.at) > state.limits.checkpoints.max_age_days * DAY


async def _excessive_size(state: State) -> int | None:
    """Return what the files of all checkpoints take, if that is too much and was not just dealt with."""
    now = time.monotonic()
    if now < state.upkeep.shrunk + SHRINK_SECONDS:
        return None
    size = await asyncio.to_thread(lambda: state.files().size)
    if size <= state.limits.checkpoints.max_bytes:
        return None
    state.upkeep.shrunk = now
    return size


async def _too_large(state: State, made: CheckpointRow) -> tuple[list[Surplus], bool]:
    """Return the oldest checkpoints without whose files the others do not take too much, and whether they do
    all the same. None are returned if only content that no checkpoint has is too much."""
    most = state.limits.checkpoints.max_bytes
    kept = [row for row in await _own(state) if row.files is not None]
    kept.sort(key=lambda row: (row.id != made.id, not row.is_named, -row.at))
    fixed = sum(row.is_named or row.id == made.id for row in kept)
    roots = [bytes.fromhex(row.files.root) for row in kept if row.files]
    try:
        fitting = await asyncio.to_thread(lambda: state.files().fitting(roots, most))
        if fitting < len(roots):
            fitting = await asyncio.to_thread(lambda: state.files().fitting(roots, int(most * SHRUNK)))
    except DamagedObject as error:
        log.error("the size of checkpoints is unknown", extra={"reason": str(error)})
        return [], False
    if fitting < fixed:
        log.warning("checkpoints with names take more than they may", extra={"max_bytes": most})
    return [(row, "checkpoints.max_bytes") for row in kept[max(fitting, fixed) :]], fitting < fixed


async def _all(state: State) -> Sequence[CheckpointRow]:
    return [checkpoint_of(row) for row in await state.store.find(KIND, limit=ALL)]


async def _own(state: State) -> Sequence[CheckpointRow]:
    """Return the checkpoints of the sessions of this node, which has their files."""
    owned: dict[str, bool] = {}
    for row in (rows := await _all(state)):
        if row.session_id not in owned:
            owned[row.session_id] = await state.owns(row.session_id)
    return [row for row in rows if owned[row.session_id]]


async def _remove_all(state: State, surplus: Sequence[Surplus], turn_id: str | None = None) -> list[Removed]:
    removed: list[Removed] = []
    for row, limit in surplus:
        is_first = turn_id is not None and (row.session_id, limit) not in state.upkeep.told
        try:
            await _remove(state, row, limit, turn_id if is_first else None)
        except StateConflict:
            continue  # it was removed meanwhile
        except StoreRefused as refusal:
            log.warning("checkpoints cannot be removed", extra={"reason": refusal.detail})
            break
        if is_first:
            state.upkeep.told.add((row.session_id, limit))
        removed.append(Removed(row, limit))
    return removed


async def _remove(state: State, row: CheckpointRow, limit: Limit, turn_id: str | None) -> None:
    event = Draft(CheckpointRemoved(row.id, row.name, limit), turn_id)
    exists = Expect(KIND, row.id)
    await state.store.commit(row.session_id, [event], drop=[(KIND, row.id)], expects=[exists])
    state.upkeep.removed = True
    log.info("checkpoint removed", extra={"session": row.session_id, "checkpoint": row.id, "limit": limit})


async def sweep(state: State) -> None:
    """Once an hour, remove the checkpoints that have become too old, and the content that none has."""
    now = time.monotonic()
    if now < state.upkeep.swept + SWEEP_SECONDS:
        return
    state.upkeep.swept = now
    old: list[Surplus] = [
        (row, "checkpoints.max_age_days")
        for row in await _own(state)
        if _is_old(state, row) and not row.is_named
    ]
    await _remove_all(state, old)
    if state.upkeep.removed:
        await collect(state)


async def collect(state: State) -> None:
    """Remove the content that no checkpoint has: of removed ones, and of those that a killed hub did not
    finish."""
    if not state.files.exists:
        return
    state.upkeep.removed = False
    most = state.limits.checkpoints.max_bytes
    roots = [bytes.fromhex(row.files.root) for row in await _all(state) if row.files]
    try:
        async with one_at_a_time(state):
            freed = await asyncio.to_thread(lambda: state.files().keep(roots, most=most))
    except (DamagedObject, OSError) as error:
        log.error("content of removed checkpoints remains", extra={"reason": str(error)})
    else:
        if freed:
            log.info("content of removed checkpoints removed", extra={"bytes": freed})
