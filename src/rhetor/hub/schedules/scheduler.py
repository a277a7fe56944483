"""Starts the runs of schedules at their times, with one timer for all of them.

A run begins in two steps. First, one commit moves the schedule to its next time and stores that a run is due.
Then the line is sent, and the commit that accepts it drops that note. So each due time has one run, wherever
the hub is killed. Times that were missed, because no hub was running, the machine was suspended or the clock
was set, have one late run together, which is that of the last of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import Payload, ScheduleDue, ScheduleSkipped
from rhetor.domain.schedule import MOST_QUEUED, LastDue, Schedule
from rhetor.domain.session import Session
from rhetor.domain.timestamps import timestamp
from rhetor.domain.turn import TurnState
from rhetor.errors import NameTaken, ShuttingDown, StateConflict, StoreRefused, Unprocessable
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.catalog.schedules import (
    DUE,
    DUE_RUN,
    MAX_ROWS,
    row_of,
    run_row,
    unchanged,
)
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.core.ids import JUMP
from rhetor.hub.core.nodes import is_own
from rhetor.store.base import Draft, Row

from .runs import Opening, deliver, refresh, session_for
from .timetable import last_time, next_time

if TYPE_CHECKING:
    from rhetor.hub.state import State

BATCH = 64  # schedules whose runs begin together, and share commits
LONGEST_WAIT = 86_400.0  # seconds; timers of event loops are not made for years
RETRY_SECONDS = 60.0  # after an unexpected error
UNENDED = (TurnState.ACCEPTED, TurnState.RUNNING, TurnState.WAITING)
log = logging.getLogger(__name__)


async def load(state: State, *, restored: bool) -> None:
    """Read the schedules. `restored`: the store was restored from a backup; then no missed time is run,
    because it may have been run since the backup was made."""
    await state.schedules.load(state.store)
    state.schedules.seen = now = state.ids.now()
    if not len(state.schedules):
        return
    active = [each for each in state.schedules if each.due is not None]
    if restored:
        await _count_again(state, active, now)
        await _store_restored(state)
    else:
        await _count_again(state, [each for each in active if each.counted > now + JUMP], now)


async def run_schedules(state: State) -> None:
    """Start the runs of all schedules of this node at their times, for as long as the hub runs. A schedule
    is of the node that owns the session of its answers."""
    for run in await until_accepted(lambda: state.store.find(DUE_RUN, state=DUE, limit=MAX_ROWS), HUB_STREAM):
        schedule = state.schedules.get(run.parent)
        if state.nodes.leads if schedule is None else await is_own(state.nodes, schedule.session_id):
            await _deliver_earlier(state, run)
    while True:
        changed = state.schedules.changed.next()
        due = state.schedules.next_time()
        wait = None if due is None else (due - state.ids.now()) / 1000
        if wait is None or wait > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wait is None else min(wait, LONGEST_WAIT)):
                    await changed.wait()
        else:
            ids = state.schedules.take_due(state.ids.now(), BATCH)
            await asyncio.gather(*(_try_begin(state, id) for id in ids))


async def taken_over(state: State, streams: Collection[str]) -> None:
    """Start the runs of schedules whose sessions, among `streams`, belonged to another node until now."""
    for run in await until_accepted(lambda: state.store.find(DUE_RUN, state=DUE, limit=MAX_ROWS), HUB_STREAM):
        schedule = state.schedules.get(run.parent)
        if schedule is not None and schedule.session_id in streams:
            await _deliver_earlier(state, run)
    for schedule in list(state.schedules):
        if schedule.session_id in streams:
            state.schedules.queue(schedule.id)


async def check_clock(state: State) -> None:
    """Notice that the clock was set or the machine was suspended. Call it now and then."""
    schedules = state.schedules
    before, schedules.seen = schedules.seen, state.ids.now()
    if not schedules.waiting:
        return
    if schedules.seen < before - JUMP:
        await _count_again(state, [each for each in schedules if each.due is not None], schedules.seen)
    due = schedules.next_time()
    if due is not None and due <= schedules.seen:
        schedules.changed.notify()  # the timer does not run while the machine is suspended


async def _store_restored(state: State) -> None:
    """Store the next times after a restore, and drop the runs that were due when the backup was made."""
    runs = await state.store.find(DUE_RUN, state=DUE, limit=MAX_ROWS)
    found = list(state.schedules)
    for at in range(0, len(found), BATCH):
        rows = [row_of(schedule) for schedule in found[at : at + BATCH]]
        committed = await state.store.commit(HUB_STREAM, [], rows=rows)
        for schedule in found[at : at + BATCH]:
            state.schedules.put(replace(schedule, version=committed.version))
    if runs:
        await state.store.commit(HUB_STREAM, [], drop=[(run.kind, run.id) for run in runs])


async def _count_again(state: State, schedules: Sequence[Schedule], now: int) -> None:
    """Find the next times of schedules from now on, and keep them in memory."""
    for number, schedule in enumerate(schedules):
        try:
            due = next_time(schedule.cron, schedule.zone, now)
        except Unprocessable as error:  # its time zone is no longer installed
            log.warning("schedule has no next time", extra={"schedule": schedule.id, "reason": error.detail})
            continue
        if state.schedules.get(schedule.id) is schedule:
            state.schedules.put(replace(schedule, due=due, counted=now))
        if number % BATCH == 0:
            await asyncio.sleep(0)


async def _deliver_earlier(state: State, run: Row) -> None:
    try:
        await _try_deliver(state, run)
    except Exception:  # one run must not end the others
        log.exception("a scheduled run of an earlier hub was not sent", extra={"schedule": run.parent})


async def _try_begin(state: State, id: str) -> None:
    try:
        run = await _begin(state, id)
        if run is not None:
            await _try_deliver(state, run)
    except Exception as error:  # one schedule must not delay the others
        if isinstance(error, ShuttingDown | StoreRefused) and state.closing:
            log.info("the next hub begins a scheduled run", extra={"schedule": id})
            return
        log.exception("beginning a scheduled run failed", extra={"schedule": id})
        asyncio.get_running_loop().call_later(RETRY_SECONDS, state.schedules.queue, id)


async def _try_deliver(state: State, run: Row) -> None:
    schedule = state.schedules.get(run.parent)
    with suppress(ShuttingDown, StoreRefused):  # the next hub sends it
        if schedule is None:
            await state.store.commit(run.parent, [], drop=[(run.kind, run.id)])
            return
        await until_accepted(lambda: deliver(state, schedule, run), schedule.id, lambda: state.closing)


async def _begin(state: State, id: str) -> Row | None:
    """Move a due schedule to its next time. Return the row of its run, or None if there is none."""
    async with state.exclusively(f"schedule {id}"):
        schedule, now = state.schedules.get(id), state.ids.now()
        if schedule is None or schedule.due is None or schedule.due > now:
            return None
        if not await is_own(state.nodes, schedule.session_id):  # that node begins it
            return None
        attempt = _Attempt(state, schedule, now)
        try:
            return await until_accepted(attempt.commit, id, lambda: state.closing)
        except StateConflict:  # another writer changed it or opened its session; it is tried again
            await refresh(state, id)
            state.schedules.queue(id)
            return None


class _Attempt:
    """The commit that begins a run."""

    def __init__(self, state: State, schedule: Schedule, now: int) -> None:
        assert schedule.due is not None
        self._state = state
        self._schedule = schedule
        self._due = last_time(schedule.cron, schedule.zone, schedule.due, now)
        self._now = now

    async def commit(self) -> Row | None:
        state, now, due = self._state, self._now, self._due
        session, opened = await self._session()
        refusal = await self._refusal(session)
        before = self._schedule
        schedule = replace(
            before,
            session_id=session.id,
            due=next_time(before.cron, before.zone, max(now, due)),
            counted=now,
            last=LastDue(due, skipped=refusal[0] if refusal else ""),
        )
        payload: Payload = ScheduleDue(schedule.name, timestamp(due))
        if refusal:
            payload = ScheduleSkipped(schedule.name, timestamp(due), *refusal)
        run = None if refusal else run_row(schedule, due, now)
        committed = await state.store.commit(
            session.id,
            [*opened.drafts, Draft(payload)],
            expects=[*opened.expects, unchanged(before)],
            rows=[*opened.rows, row_of(schedule), *([run] if run else [])],
        )
        state.schedules.put(replace(schedule, version=committed.version))
        return run

    async def _session(self) -> tuple[Session, Opening]:
        schedule = self._schedule
        try:
            return await session_for(self._state, schedule.owner, schedule.session, schedule.session_id)
        except NameTaken:  # meanwhile, another session got the name
            return await session_for(self._state, schedule.owner, schedule.id)

    async def _refusal(self, session: Session) -> tuple[str, str] | None:
        """Return why there is no run: the code and the detail; None if there is one."""
        store = self._state.store
        if not await store.has("turn", parent=session.id, state=UNENDED):
            return None
        if self._schedule.overlap == "skip":
            return "overlap", "the previous run has not ended"
        waiting = await store.find("turn", parent=session.id, state=TurnState.ACCEPTED, limit=MOST_QUEUED)
        if len(waiting) < MOST_QUEUED:
            return None
        return "queue_full", f"{MOST_QUEUED} runs are waiting"
