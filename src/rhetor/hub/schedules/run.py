"""One run of a schedule: answers the turn of its line by running the line as a plan."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from rhetor.domain.output import Done, Output
from rhetor.domain.peer import Peer
from rhetor.domain.schedule import Schedule
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import NotFound
from rhetor.hub.active import OpenRequests
from rhetor.hub.catalog.turn_log import received
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.plans.line_answer import LineRun
from rhetor.hub.plans.plans import Planned, start

from .lines import plan_of
from .rights import origin_of, principal_of

if TYPE_CHECKING:
    from rhetor.hub.state import State


class ScheduledRun(LineRun):
    """The conversation of one run. The line is the turn's message, which only the scheduler can send."""

    ending = "the end of the scheduled run"

    def __init__(self, state: State, peer: Peer, requests: OpenRequests) -> None:
        super().__init__(state, requests.stream)

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
            async with aclosing(self._outputs(planned)) as outputs:
                async for output in outputs:
                    yield output
        yield Done()

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
