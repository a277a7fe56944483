"""One run of a schedule: answers the turn of its line by running the line as a plan."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from rhetor.domain.event import Event, PlanEnded, PlanStarted, StepDone, StepFailed, StepStarted
from rhetor.domain.output import Done, Output, Shared, Text
from rhetor.domain.peer import Peer
from rhetor.domain.schedule import Schedule
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import NotFound, TurnFailure
from rhetor.hub.active import OpenRequests
from rhetor.hub.catalog.turn_log import received
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.plans.plans import Planned, start
from rhetor.hub.turns.attribution import title_of
from rhetor.store.base import follow

from .lines import plan_of
from .rights import origin_of, principal_of

if TYPE_CHECKING:
    from rhetor.hub.state import State

SEPARATOR = "\n\n"
# a line in an answer that looks like the heading of another part; it is shown as `[ From`
HEADING = re.compile(r"^([^\S\n]*)\[From ", re.MULTILINE)


class ScheduledRun:
    """The conversation of one run. The line is the turn's message, which only the scheduler can send."""

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        self._state = state
        self._session_id = requests.stream
        self._plan_id = ""

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        """Run the line, and yield the starts and the ends of its steps and the answers of the last ones.

        Raises:
            NotFound: the schedule was removed before the run began.
            Forbidden: the token with which the schedule was added has expired or was revoked.
            TurnFailure: a step failed; it has the code of that step.
            RhetorError: the line cannot be run any more, for example because a peer no longer exists.
        """
        async with self._state.schedules.slots:
            schedule = self._state.schedules.in_session(self._session_id)
            if schedule is None:
                raise NotFound("schedule", self._session_id)
            planned = await self._start(schedule, await self._line(message.turn, schedule))
            self._plan_id = planned.plan_id
            async with aclosing(self._outputs(planned)) as outputs:
                async for output in outputs:
                    yield output
            self._plan_id = ""
        yield Done()

    async def answer(self, id: str, value: Any) -> None:
        """Do nothing: the requests of the steps belong to the plan."""

    async def interrupt(self) -> None:
        self._stop()

    async def aclose(self) -> None:
        self._stop()

    def _stop(self) -> None:
        if plan := self._state.plans.get(self._plan_id):
            plan.stop("the end of the scheduled run")

    async def _line(self, turn_id: str, schedule: Schedule) -> str:
        """Return the line as it was sent, without the context that was put before it.

        Raises:
            NotFound: another schedule sent it, which was removed since.
        """
        row = await self._state.store.get("turn", turn_id)
        if row is None:
            raise NotFound("turn", turn_id)
        message = (await received(self._state.store, TurnRow.of(row))).message
        if not message.cause or message.cause.origin != schedule.id:
            raise NotFound("schedule", schedule.name)
        return message.content

    async def _start(self, schedule: Schedule, line: str) -> Planned:
        principal = principal_of(self._state, schedule)
        command = await plan_of(self._state, principal, schedule, line)
        return await start(self._state, principal, command, origin_of(schedule))

    async def _outputs(self, planned: Planned) -> AsyncGenerator[Output, None]:
        told = _Told(self._state)
        async for records in follow(self._state.store, planned.plan_id, planned.after):
            for record in records:
                for output in told.add(record.event):
                    yield output
                if told.ended is not None:
                    told.check()
                    return


class _Told:
    """What is known of a plan while its events arrive. `ended`: its status, once it has ended."""

    def __init__(self, state: State) -> None:
        self.ended: str | None = None
        self._state = state
        self._last: list[str] = []
        self._peers: dict[str, str] = {}
        self._failed: list[StepFailed] = []
        self._shown = 0

    def add(self, event: Event) -> Sequence[Output]:
        match event.payload:
            case PlanStarted(steps):
                needed = {need for step in steps for need in step["depends_on"]}
                self._last = [step["id"] for step in steps if step["id"] not in needed]
            case StepStarted(step, peer):
                self._peers[step] = peer
                return [Shared(event.payload)]
            case StepDone(step, text):
                return [Shared(event.payload), *([self._part(step, text)] if step in self._last else [])]
            case StepFailed(step, detail=detail):
                self._failed.append(event.payload)
                return [Shared(event.payload), Text(f"{self._name(step)}: {detail}\n", "stderr")]
            case PlanEnded(status):
                self.ended = status
        return []

    def check(self) -> None:
        """Check that the plan was completed.

        Raises:
            TurnFailure: it was not.
        """
        if self._failed:
            first = self._failed[0]
            failure = TurnFailure(
                f"{self._name(first.step)}: {first.detail}", retryable=first.retryable, **first.data
            )
            failure.code = first.code
            raise failure
        if self.ended != "completed":
            raise TurnFailure(f"the plan was {self.ended}", retryable=True)

    def _name(self, step: str) -> str:
        return self._peers.get(step, step)

    def _part(self, step: str, text: str) -> Text:
        """Return the answer of a last step; if there are several, each is under its author's name."""
        if len(self._last) == 1:
            return Text(text)
        title = title_of(self._state, self._name(step))
        self._shown += 1
        part = HEADING.sub(r"\1[ From ", text)
        return Text(f"{SEPARATOR if self._shown > 1 else ''}[From {title}]{SEPARATOR}{part}")
