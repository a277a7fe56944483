"""Schedules: lines that run at set times."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from rhetor.codec.forms import PLAIN
from rhetor.domain.rule_commands import PutSchedule, RunSchedule
from rhetor.domain.schedule import Overlap
from rhetor.hub.schedules.timetable import MOST_CHARACTERS

from .common import Body, Folder, Name, NewName, Text

Times = Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS, pattern=PLAIN)]
Zone = Annotated[str, Meta(min_length=1, max_length=100, pattern=PLAIN)]


class ScheduleBody(Body, frozen=True, kw_only=True):
    """A schedule. `cron`: five fields (minute, hour, day, month, weekday), or `@daily` and the like.
    `timezone`: a name such as `Europe/Berlin`; by default, that of the hub's machine. `line`: what runs, in
    the grammar of the shell, without programs and files. `overlap`: whether a run is skipped or waits if an
    earlier one has not ended. `session`: the name of the session with the answers; by default, that of the
    schedule. `cwd`: the folder of programs that run in their caller's."""

    cron: Times
    line: Text
    timezone: Zone | None = None
    overlap: Overlap = "skip"
    session: Name | None = None
    cwd: Folder | None = None

    def command(self, name: str, *, new: bool = False) -> PutSchedule:
        return PutSchedule(
            name,
            self.cron,
            self.line,
            self.timezone or "",
            self.overlap,
            self.session or "",
            self.cwd,
            new,
        )


class NewScheduleBody(ScheduleBody, frozen=True, kw_only=True):
    name: NewName


class RunScheduleBody(Body, frozen=True, kw_only=True):
    command_id: Name | None = None

    def command(self, name: str, key: str | None) -> RunSchedule:
        return RunSchedule(name, key or self.command_id)
