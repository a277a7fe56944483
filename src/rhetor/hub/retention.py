"""Removes old sessions and plans that have ended, and old events of the others, as the settings in
`retention` say.

The messages of conversations that have not ended, the audit, other rows of the catalog and the sums of usage
stay. A reader whose position is removed gets `truncated`. Streams in which a turn or a plan runs are left for
the next time. Each node removes what is old in its own streams.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Literal

from rhetor.domain import audit
from rhetor.domain.event import OutputDelta

from .plans import old_streams

if TYPE_CHECKING:
    from .state import State

Setting = Literal["retention.max_age_days", "retention.max_bytes"]

DAY = 86_400_000  # milliseconds
SWEEP_SECONDS = 3600.0
STEPS = 8  # a log that is too large loses so many parts of its time, one by one, but never the last
PAGE = 2_000
log = logging.getLogger(__name__)


async def sweep(state: State) -> None:
    """Once an hour, remove what is too old, and then what is too much.

    Raises:
        StoreRefused: the store rejected it. The next sweep continues.
    """
    limits = state.limits.retention
    if limits.max_age_days is None and limits.max_bytes is None:
        return
    now = time.monotonic()
    if now < state.upkeep.retained + SWEEP_SECONDS:
        return
    state.upkeep.retained = now
    if limits.max_age_days is not None:
        await _remove(state, _now(state) - int(limits.max_age_days * DAY), "retention.max_age_days")
    if limits.max_bytes is not None:
        await _shrink(state, limits.max_bytes)


def _now(state: State) -> int:
    """Return the time by a clock that cannot be set."""
    return state.ids.since(0)


async def _shrink(state: State, most: int) -> None:
    if await state.store.size() <= most:
        return
    await _fold(state)
    now = _now(state)
    known = [await state.store.oldest(without=audit.STREAM), await old_streams.oldest(state)]
    oldest = min((at for at in known if at is not None), default=None)
    for step in range(1, STEPS):
        if oldest is None or await state.store.size() <= most:
            break
        await _remove(state, oldest + (now - oldest) * step // STEPS, "retention.max_bytes")
    if (size := await state.store.size()) > most:
        log.warning("the database is larger than it may be", extra={"bytes": size, "max_bytes": most})


async def _fold(state: State) -> None:
    """Fold the chunks of all answers, whose text other events have."""
    folded, after, before = 0, None, set[tuple[str, str]]()
    while records := await state.store.of_types((OutputDelta.type,), after, PAGE):
        after = records[-1].position
        turns = {(record.stream, record.turn_id) for record in records if record.turn_id}
        for stream, turn_id in turns - before:
            if not await state.owns(stream):
                continue
            folded += await state.store.fold(stream, turn_id)
        before = turns
    if folded:
        log.info("chunks of answers folded", extra={"events": folded, "setting": "retention.max_bytes"})


async def _remove(state: State, before: int, setting: Setting) -> None:
    """Remove what is from before a time, Unix time in milliseconds."""
    if gone := await old_streams.remove_old(state, before):
        log.info("old sessions and plans removed", extra={"removed": gone, "setting": setting})
    streams = events = 0
    for stream, first in await state.store.old_events(before):
        if audit.is_stream(stream) or stream in state.runners or stream in state.plans:
            continue
        if not await state.owns(stream):
            continue
        head = await state.store.head(stream)
        await state.store.truncate(stream, first)
        streams += 1
        events += first - head.earliest if head else 0
    if streams:
        log.info("old events removed", extra={"streams": streams, "events": events, "setting": setting})
