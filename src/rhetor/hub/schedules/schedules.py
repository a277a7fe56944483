"""Schedules: add, replace, pause, resume and remove them, and run them besides their times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import ScheduleChanged
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import (
    PauseSchedule,
    PutSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RunSchedule,
)
from rhetor.domain.schedule import MOST_OF_AGENT, MOST_OF_CALLER, OVERLAPS, Change, Schedule
from rhetor.domain.timestamps import timestamp
from rhetor.errors import (
    NameTaken,
    NotFound,
    SessionOver,
    StateConflict,
    TooManySchedules,
    Unprocessable,
)
from rhetor.hub.catalog.schedules import DUE_RUN, KIND, row_of, unchanged
from rhetor.hub.core.checks import require_name
from rhetor.hub.plans.plans import checked
from rhetor.hub.programs.ownership import is_own
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Draft

from .lines import plan_of
from .rights import rights_of
from .runs import refresh, send_now, session_for
from .timetable import machine_zone, next_time

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def put(state: State, principal: Principal, command: PutSchedule) -> Schedule:
    """Store a schedule. It replaces the caller's schedule of the same name, unless `new` is set. A paused one
    stays paused.

    Raises:
        CannotSchedule: the line has something that the hub cannot run by itself.
        Unprocessable: the times, the time zone or the line are invalid, or the times never come.
        UnknownPeer, NoCapablePeer, UnknownTeam: the target of a step does not exist.
        NotFound: a step names a session or a route that the caller does not have.
        HopLimit: a message would pass through more peers than allowed.
        Malformed, TooLarge: the name is invalid, or the line is empty, not valid Unicode, or too large.
        NameTaken: `new` is set, and the caller has a schedule of this name; or another session has the name
            of the session for the answers.
        TooManySchedules: the caller has as many schedules as allowed.
        Forbidden, Unauthenticated: the hub cannot tell when the caller's rights end, or they have ended.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_name(command.name, "schedule name")
    new = await _checked(state, principal, command)
    return await state.background.complete(_put(state, principal, new, command), "schedule")


async def pause(state: State, principal: Principal, command: PauseSchedule) -> Schedule:
    """Start no further runs at the schedule's times. A run that has begun continues.

    Raises:
        NotFound: the caller has no such schedule.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    return await _change(state, principal, command.name, "paused", _paused)


async def resume(state: State, principal: Principal, command: ResumeSchedule) -> Schedule:
    """Run the schedule again, from its next time on. Times that passed while it was paused are not run.

    Raises:
        NotFound: the caller has no such schedule.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    return await _change(state, principal, command.name, "resumed", _resumed)


async def remove(state: State, principal: Principal, command: RemoveSchedule) -> Schedule:
    """Remove the schedule. Its answers stay in their session, and a run that has begun continues. Runs that
    wait do not begin.

    Raises:
        NotFound: the caller has no such schedule.
        StoreRefused: nothing was changed; the command may be sent again.
    """
    return await state.background.complete(_remove(state, principal, command.name), "schedule")


async def run(state: State, principal: Principal, command: RunSchedule) -> Accepted:
    """Run the line of the schedule now, also if it is paused. Its times stay as they are.

    Raises:
        NotFound: the caller has no such schedule.
        PeerBusy: an earlier run has not ended, and overlapping runs are skipped.
        SessionOver: the session of the answers has ended, and cannot be opened again.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was started; the command may be sent again.
    """
    state.require_open()
    schedule = schedule_of(state, principal, command.name)
    try:
        return await send_now(state, schedule, command.command_id)
    except SessionOver:  # it was ended, so the answers get another one, as at the schedule's times
        schedule = await _change(state, principal, command.name, "replaced", lambda state, it: it)
        return await send_now(state, schedule, command.command_id)


def schedule_of(state: State, principal: Principal, name: str) -> Schedule:
    """Return the caller's schedule of this name, or one of a peer's program that it answers for.

    Raises:
        NotFound: there is none.
    """
    own = state.schedules.named(principal.subject, name)
    if own is not None:
        return own
    for schedule in state.schedules:
        if schedule.name == name and is_own(state, principal, schedule.owner):
            return schedule
    raise NotFound(KIND, name)


def schedules_of(state: State, principal: Principal) -> Sequence[Schedule]:
    """Return the caller's schedules and those of the programs that it answers for, by name."""
    found = [each for each in state.schedules if is_own(state, principal, each.owner)]
    return sorted(found, key=lambda schedule: (schedule.name, schedule.owner))


async def _checked(state: State, principal: Principal, command: PutSchedule) -> Schedule:
    """Return the new schedule, without its session."""
    if command.overlap not in OVERLAPS:
        raise Unprocessable(f"overlap: must be {' or '.join(OVERLAPS)}", field="overlap")
    now, zone = state.ids.now(), command.zone or machine_zone()
    due = next_time(command.cron, zone, now)
    if due is None:
        raise Unprocessable(f"invalid times {command.cron!r}: there is no such time", field="cron")
    schedule = Schedule(
        state.ids.new("c"),
        principal.subject,
        command.name,
        command.cron,
        zone,
        command.line,
        command.session or command.name,
        "",
        now,
        command.overlap,
        rights_of(state, principal),
        command.cwd if principal.local else None,
        due,
        now,
    )
    plan = await plan_of(state, principal, schedule, command.line)
    await checked(state, principal, plan, len(schedule.rights.via))
    return schedule


async def _put(state: State, principal: Principal, new: Schedule, command: PutSchedule) -> Schedule:
    async with state.exclusively(f"schedules of {principal.subject}"):
        known = state.schedules.named(principal.subject, new.name)
        if known is None:
            _require_room(state, principal)
            return await _store(state, principal, None, new, "added")
        if command.new:
            raise NameTaken(KIND, new.name)
        async with state.exclusively(f"schedule {known.id}"):
            known = state.schedules.get(known.id)
            if known is None:
                return await _store(state, principal, None, new, "added")
            session = command.session or known.session
            kept = replace(new, id=known.id, at=known.at, session=session, paused=known.paused)
            if session == known.session:
                kept = replace(kept, session_id=known.session_id)
            kept = replace(kept, due=None if known.paused else new.due, last=known.last)
            return await _store(state, principal, known, kept, "replaced")


def _require_room(state: State, principal: Principal) -> None:
    most = MOST_OF_AGENT if principal.is_agent else MOST_OF_CALLER
    if len(state.schedules) >= most and state.schedules.number_of(principal.subject) >= most:
        raise TooManySchedules(most)


async def _change(
    state: State, principal: Principal, name: str, change: Change, how: Callable[[State, Schedule], Schedule]
) -> Schedule:
    state.require_open()

    async def attempt() -> Schedule:
        id = schedule_of(state, principal, name).id
        async with state.exclusively(f"schedule {id}"):
            known = schedule_of(state, principal, name)
            return await _store(state, principal, known, how(state, known), change)

    return await state.background.complete(attempt(), "schedule")


async def _store(
    state: State, principal: Principal, known: Schedule | None, new: Schedule, change: Change
) -> Schedule:
    """Commit a schedule, with its session if that is new.

    Raises:
        StateConflict: another writer changed the schedule or opened the session; nothing was stored.
    """
    session, opened = await session_for(state, new.owner, new.session, new.session_id)
    _require_own_session(state, new, session.id)
    new = replace(new, session_id=session.id)
    row = row_of(new)
    try:
        committed = await state.store.commit(
            session.id,
            [*opened.drafts, Draft(_changed(new, change, principal))],
            expects=[*opened.expects, unchanged(known) if known else row.unchanged],
            rows=[*opened.rows, row],
        )
    except StateConflict:
        await refresh(state, new.id)
        raise
    stored = replace(new, version=committed.version)
    state.schedules.put(stored)
    return stored


def _require_own_session(state: State, schedule: Schedule, session_id: str) -> None:
    other = state.schedules.in_session(session_id)
    if other is not None and other.id != schedule.id:
        raise NameTaken("session", schedule.session)


async def _remove(state: State, principal: Principal, name: str) -> Schedule:
    id = schedule_of(state, principal, name).id
    async with state.exclusively(f"schedule {id}"):
        schedule = schedule_of(state, principal, name)
        runs = await state.store.find(DUE_RUN, parent=schedule.id)
        drop = [(KIND, schedule.id), *((run.kind, run.id) for run in runs)]
        changed = Draft(_changed(replace(schedule, due=None), "removed", principal))
        await state.store.commit(schedule.session_id, [changed], drop=drop)
        state.schedules.remove(schedule)
        return schedule


def _changed(schedule: Schedule, change: Change, principal: Principal) -> ScheduleChanged:
    next_at = None if schedule.due is None else timestamp(schedule.due)
    return ScheduleChanged(schedule.name, change, principal.subject, next_at)


def _paused(state: State, schedule: Schedule) -> Schedule:
    return replace(schedule, paused=True, due=None)


def _resumed(state: State, schedule: Schedule) -> Schedule:
    if not schedule.paused:
        return schedule
    now = state.ids.now()
    due = next_time(schedule.cron, schedule.zone, now)
    return replace(schedule, paused=False, due=due, counted=now)
