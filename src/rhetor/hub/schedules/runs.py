"""Sends the line of a schedule to the session of its answers, where it runs as a turn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.domain.command import SendMessage
from rhetor.domain.event import Cause, ScheduleSkipped, SessionStateChanged
from rhetor.domain.principal import Principal
from rhetor.domain.schedule import SCHEDULE_PEER, Schedule
from rhetor.domain.session import Session
from rhetor.domain.timestamps import timestamp
from rhetor.errors import KeyReused, NameTaken, RhetorError, ShuttingDown, StoreRefused
from rhetor.hub.catalog.schedules import DUE, KIND, due_of
from rhetor.hub.catalog.sessions import open_session, session_of, session_row
from rhetor.hub.sessions.delivery import deliver as deliver_message
from rhetor.hub.sessions.send import Accepted
from rhetor.store.base import Draft, Expect, Row

from .rights import principal_of

if TYPE_CHECKING:
    from rhetor.hub.state import State

API = "schedule"  # how its runs reach the hub, for the audit
log = logging.getLogger(__name__)


class Opening(Struct, frozen=True):
    """What opens a session: the events, the rows and the conditions of its commit. Empty if it is open."""

    drafts: tuple[Draft, ...] = ()
    rows: tuple[Row, ...] = ()
    expects: tuple[Expect, ...] = ()


async def session_for(state: State, owner: str, name: str, session_id: str = "") -> tuple[Session, Opening]:
    """Return the session for the answers of a schedule, and what opens it if it is new.

    A schedule that is added again continues in the session that it had.

    Raises:
        NameTaken: another kind of session has the name.
    """
    row = await state.store.get("session", session_id) if session_id else None
    if row is None or not session_of(row).takes_messages:
        row = next(iter(await state.store.find("session", owner=owner, name=name)), None)
    if row is None:
        new = open_session(state.ids, owner, SCHEDULE_PEER, context_window=0, ttl=None, name=name)
        row = session_row(new)
        return new, Opening((Draft(SessionStateChanged(new.state)),), (row,), (row.unchanged,))
    session = session_of(row)
    if session.peer != SCHEDULE_PEER:
        raise NameTaken("session", name)
    return session, Opening()


async def refresh(state: State, id: str) -> None:
    """Read a schedule again that another writer has changed."""
    state.schedules.mirror(id, await state.store.get(KIND, id))


async def deliver(state: State, schedule: Schedule, run: Row) -> None:
    """Send the line of a run that is due, once: its row is dropped in the commit that accepts it, and its due
    time is the idempotency key.

    Raises:
        StoreRefused, ShuttingDown: it was not sent; the row is still there.
    """
    due = due_of(run)
    try:
        who = principal_of(state, schedule)
        await state.audit.note(who, "schedule.run", schedule.name, f"due {timestamp(due)}", api=API)
        accepted = await _send(state, schedule, f"{schedule.id} {due}", run)
        if accepted.replayed:
            raise KeyReused(f"{schedule.id} {due}")
    except (StoreRefused, ShuttingDown):
        raise
    except RhetorError as error:
        await _skip(state, schedule, run, error)


async def send_now(state: State, schedule: Schedule, command_id: str | None) -> Accepted:
    """Send the line of a schedule besides its times.

    Raises:
        PeerBusy: an earlier run has not ended, and overlapping runs are skipped.
        SessionOver: the session of its answers has ended.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was sent; the command may be sent again.
    """
    return await _send(state, schedule, command_id, None, refuses=schedule.overlap == "skip")


async def _send(
    state: State, schedule: Schedule, command_id: str | None, run: Row | None, *, refuses: bool = False
) -> Accepted:
    command = SendMessage(
        schedule.line,
        session_id=schedule.session_id,
        if_busy="refuse" if refuses else "queue",
        command_id=command_id,
        from_=schedule.label,
    )
    # The owner without scopes: what the line does is checked when it runs, with the rights of the schedule.
    owner, cause = Principal(schedule.owner), Cause(schedule.id)
    fulfils = (run.kind, run.id, DUE) if run else None
    return await deliver_message(
        state, owner, command, cause=cause, fulfils=fulfils, counts=False, is_scheduled=True
    )


async def _skip(state: State, schedule: Schedule, run: Row, error: RhetorError) -> None:
    due, code, detail = due_of(run), error.code, error.detail
    log.warning("scheduled run not sent", extra={"schedule": schedule.id, "due": due, "code": code})
    if isinstance(error, KeyReused):
        code, detail = "repeated", "this time had its run before the clock was set back"
    skipped = ScheduleSkipped(schedule.name, timestamp(due), code, detail)
    drafts = [Draft(skipped)] if state.schedules.get(schedule.id) is not None else []
    await state.store.commit(schedule.session_id, drafts, drop=[(run.kind, run.id)])
