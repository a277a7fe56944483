"""Schedules."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from rhetor.domain.schedule import Overlap

from .common import Time


class LastDue(Struct):
    """The last due time. `skipped`: why it had no run: `overlap`, `queue_full`, `repeated` or the code of an
    error; null if it had one."""

    due_at: Time
    skipped: str | None


class LastRun(Struct):
    """The last run. `status`: that of its turn."""

    turn_id: str
    status: Literal["accepted", "running", "waiting", "completed", "failed", "cancelled", "interrupted"]
    at: Time


class Schedule(Struct):
    """A schedule. `session`, `session_id`: the name and the id of the session with its answers. `next_at`:
    its next time; null if it is paused. `last_due`, `last_run`: null if there was none yet."""

    id: str
    name: str
    owner: str
    cron: str
    timezone: str
    line: str
    overlap: Overlap
    state: Literal["active", "paused"]
    session: str
    session_id: str
    cwd: str | None
    next_at: Time | None
    last_due: LastDue | None
    last_run: LastRun | None
    created_at: Time


class Schedules(Struct):
    schedules: list[Schedule]
