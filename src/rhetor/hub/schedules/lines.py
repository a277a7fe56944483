"""What a schedule's line means: the plan that runs it, and what cannot be scheduled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.command import StartPlan
from rhetor.domain.grammar import Stage
from rhetor.domain.principal import Principal
from rhetor.domain.schedule import Schedule
from rhetor.errors import CannotRunLine, CannotSchedule
from rhetor.hub.plans import lines

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def plan_of(state: State, principal: Principal, schedule: Schedule, line: str) -> StartPlan:
    """Return the plan that runs the line.

    Raises:
        CannotSchedule: the hub cannot run the line by itself.
        Unprocessable: the line does not follow the grammar.
        Malformed, TooLarge: the line is empty, not valid Unicode, or too large.
        NotFound: the line names a route that the caller does not have.
    """
    meaning = await _meaning(line)
    return lines.plan_of(state, principal, meaning, schedule.label, schedule.cwd)


async def models_of(line: str) -> set[str]:
    """Return the models that the steps of the line name.

    Raises:
        CannotSchedule, Unprocessable, Malformed, TooLarge: as `plan_of`.
    """
    meaning = await _meaning(line)
    return set() if isinstance(meaning, Stage) else {step.model for step in meaning if step.model}


async def _meaning(line: str) -> lines.Meaning:
    try:
        return await lines.meaning_of(line)
    except CannotRunLine as error:
        raise CannotSchedule(error.why) from error
