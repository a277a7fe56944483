"""A clock that the test sets, and a hub whose schedules follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from tests.rhetor.hub.house import ME, House, house

from rhetor.domain import event as ev
from rhetor.domain.event import Payload, Position
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import PutSchedule
from rhetor.domain.schedule import Schedule
from rhetor.hub.core.ids import Ids
from rhetor.hub.schedules import scheduler
from rhetor.store.base import follow

DAY = 86_400_000
MINUTE = 60_000


class Clock:
    """The wall clock, in milliseconds."""

    def __init__(self, text: str = "2026-11-30T07:59:00") -> None:
        self.now = millis(text)

    def __call__(self) -> int:
        return self.now


class Planned:
    """A hub, its clock and its schedules."""

    def __init__(self, home: House, clock: Clock) -> None:
        self.home = home
        self.clock = clock
        self.state = home.hub.state

    async def add(
        self, line: str, cron: str = "0 8 * * *", *, who: Principal = ME, **fields: Any
    ) -> Schedule:
        command = PutSchedule(fields.pop("name", "morning"), cron, line, fields.pop("zone", "UTC"), **fields)
        made: Schedule = await self.home.hub.execute(who, command)
        return made

    def of(self, name: str = "morning", owner: str = "me") -> Schedule:
        found = self.state.schedules.named(owner, name)
        assert found is not None
        return found

    async def set(self, text: str) -> None:
        """Set the clock, and let the hub notice it, as its sweep does."""
        self.clock.now = millis(text)
        await scheduler.check_clock(self.state)

    async def payloads(self, session_id: str) -> list[Payload]:
        return await self.home.log(session_id)

    async def until(self, session_id: str, kind: Any, number: int = 1) -> list[Payload]:
        """Return the payloads of the session once it has so many events of a kind."""
        head = await self.home.store.head(session_id)
        assert head is not None
        found: list[Payload] = []
        async for records in follow(self.home.store, session_id, Position(head.epoch, 0)):
            found += [record.event.payload for record in records]
            if sum(isinstance(payload, kind) for payload in found) >= number:
                return found
        raise AssertionError("following does not end")


@asynccontextmanager
async def planned(*scripts: object, clock: Clock | None = None, **fields: Any) -> AsyncIterator[Planned]:
    clock = clock or Clock()
    async with house(*scripts, ids=Ids(clock), **fields) as home:
        yield Planned(home, clock)


def millis(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def dues(payloads: list[Payload]) -> list[str]:
    """Return the due times whose runs began, without the year and the milliseconds."""
    return [payload.due_at[5:16] for payload in payloads if isinstance(payload, ev.ScheduleDue)]


def answers(payloads: list[Payload]) -> list[str]:
    return [payload.text for payload in payloads if isinstance(payload, ev.TurnCompleted)]


def lines(payloads: list[Payload]) -> list[str]:
    return [payload.content for payload in payloads if isinstance(payload, ev.MessageAccepted)]
