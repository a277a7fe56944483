"""The answer of a turn that runs a line: the starts and the ends of its steps, and what the last ones say."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from rhetor.domain.event import Event, PlanEnded, PlanStarted, StepDone, StepFailed, StepStarted
from rhetor.domain.output import Output, Shared, Text
from rhetor.errors import TurnFailure
from rhetor.hub.turns.attribution import title_of
from rhetor.store.base import follow

from .plans import Planned

if TYPE_CHECKING:
    from rhetor.hub.state import State

SEPARATOR = "\n\n"
# a line in an answer that looks like the heading of another part; it is shown as `[ From`
HEADING = re.compile(r"^([^\S\n]*)\[From ", re.MULTILINE)


class LineRun:
    """What the conversations of turns that run a line have in common: the plan that runs."""

    ending: ClassVar[str]  # what has stopped a plan whose turn is over

    def __init__(self, state: State, session_id: str) -> None:
        self._state = state
        self._session_id = session_id
        self._plan_id = ""

    async def _outputs(self, planned: Planned) -> AsyncGenerator[Output, None]:
        """Yield the outputs of a plan that was started.

        Raises:
            TurnFailure: a step failed; it has the code of that step.
        """
        self._plan_id = planned.plan_id
        async with aclosing(outputs_of(self._state, planned)) as outputs:
            async for output in outputs:
                yield output
        self._plan_id = ""

    async def answer(self, id: str, value: Any) -> None:
        """Do nothing: the requests of the steps belong to the plan."""

    async def interrupt(self) -> None:
        self._stop()

    async def aclose(self) -> None:
        self._stop()

    def _stop(self) -> None:
        if plan := self._state.plans.get(self._plan_id):
            plan.stop(self.ending)


async def outputs_of(state: State, planned: Planned) -> AsyncGenerator[Output, None]:
    """Yield the starts and the ends of the plan's steps, and the answers of the last ones.

    Raises:
        TurnFailure: a step failed; it has the code of that step.
    """
    answer = LineAnswer(state)
    async for records in follow(state.store, planned.plan_id, planned.after):
        for record in records:
            for output in answer.add(record.event):
                yield output
            if answer.ended is not None:
                answer.check()
                return


class LineAnswer:
    """The answer of a line while the events of its plan arrive. `ended`: the plan's status, once it has
    ended."""

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
