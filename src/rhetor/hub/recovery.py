"""What a hub that ended without notice left behind, and how it goes on.

Turns are not repeated by themselves: what ran is `interrupted`, with what it had said; what was accepted and
had not started runs now; plans end where they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.event import OutputPartial, Payload, PlanEnded, StepFailed, StepSkipped, TurnInterrupted
from rhetor.domain.turn import STARTED, TurnState
from rhetor.store.base import Draft, Row

from .asking import left_open
from .reading import said_so_far
from .rows import PlanRow, TurnRow
from .runner import over_if_once, wake

if TYPE_CHECKING:
    from .state import State

REASON = "the hub ended before the answer was complete"


async def recover(state: State) -> None:
    for row in await state.store.find("plan", state="running", limit=100_000):
        await _end_plan(state, PlanRow.of(row))
    for started in STARTED:
        for row in await state.store.find("turn", state=started, limit=100_000):
            await _interrupt(state, TurnRow.of(row))
    for row in await state.store.find("turn", state=TurnState.ACCEPTED, limit=100_000):
        wake(state, row.parent)


async def _interrupt(state: State, turn: TurnRow) -> None:
    drafts, rows = await _ending(state, turn)
    also = await over_if_once(state, turn.stream)
    await state.store.commit(turn.stream, [*drafts, *also.drafts], rows=[*rows, *also.rows])


async def _ending(state: State, turn: TurnRow) -> tuple[list[Draft], list[Row]]:
    """The end of a turn, and of what it had asked."""
    drafts, rows = await left_open(state, turn.stream, turn.id)
    said = await said_so_far(state.store, turn)
    end: list[Payload] = [OutputPartial(said)] if said else []
    drafts += [Draft(p, turn.id, turn.step) for p in (*end, TurnInterrupted(REASON))]
    return drafts, [*rows, turn.become(TurnState.INTERRUPTED).row()]


async def _end_plan(state: State, plan: PlanRow) -> None:
    """In one commit: its turns, the steps that ran or had yet to run, the plan."""
    drafts: list[Draft] = []
    rows: list[Row] = [plan.become("interrupted").row()]
    turns = [TurnRow.of(row) for row in await state.store.find("turn", parent=plan.id)]
    for turn in turns:
        if turn.state in STARTED:
            ending, ended = await _ending(state, turn)
            drafts += ending
            drafts.append(Draft(StepFailed(turn.step or "", "interrupted", REASON, True), turn.id, turn.step))
            rows += ended
    drafts += [Draft(StepSkipped(id, "hub"), step=id) for id in await _unended(state, plan, turns)]
    await state.store.commit(plan.id, [*drafts, Draft(PlanEnded("interrupted"))], rows=rows)


async def _unended(state: State, plan: PlanRow, turns: list[TurnRow]) -> list[str]:
    """Steps that never began, or ran in a session of their own."""
    begun = {turn.step for turn in turns}
    return [step["id"] for step in plan.steps if step["id"] not in begun and not step["session_id"]]
