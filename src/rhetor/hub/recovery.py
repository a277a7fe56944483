"""What a hub that ended without notice left behind, and how it goes on.

Turns are not repeated by themselves: what ran is `interrupted`, with what it had said, unless its program
goes on with it; what was accepted and had not started runs now, but for what was to be typed into a terminal;
programs are found again; plans end where they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.event import OutputPartial, Payload, PlanEnded, StepFailed, StepSkipped, TurnInterrupted
from rhetor.domain.peer import PeerKind
from rhetor.domain.turn import STARTED, TurnState
from rhetor.errors import UnknownPeer
from rhetor.store.base import Draft, Row

from .catalog.requests import left_open
from .catalog.sessions import session_of
from .catalog.turn_log import received, said_so_far
from .catalog.turns import PlanRow, TurnRow
from .programs.instances import instances_of
from .programs.lifecycle import adopt, register
from .sessions.leases import expect_clients
from .turns.runner import SessionRunner, over_if_once, wake

if TYPE_CHECKING:
    from .state import State

REASON = "the hub ended before the answer was complete"


async def recover(state: State) -> None:
    await register(state)
    for row in await state.store.find("plan", state="running", limit=100_000):
        await _end_plan(state, PlanRow.of(row))
    running = [
        TurnRow.of(row)
        for started in STARTED
        for row in await state.store.find("turn", state=started, limit=100_000)
    ]
    for turn in running:
        if not _continues(state, turn.peer):
            await _interrupt(state, turn)
    await adopt(state)
    for turn in running:
        if _continues(state, turn.peer) and not await _take_up(state, turn):
            await _interrupt(state, turn)
    for row in await state.store.find("turn", state=TurnState.ACCEPTED, limit=100_000):
        turn = TurnRow.of(row)
        if _types(state, turn.peer):
            await _interrupt(state, turn)
        else:
            wake(state, row.parent)
    await expect_clients(state)


def _continues(state: State, peer: str) -> bool:
    """Whether the peer's program goes on with its turn, whatever becomes of the hub."""
    try:
        driver = state.program_drivers.get(state.peers.get(peer).driver)
    except UnknownPeer:
        return False
    return driver is not None and driver.continues


async def _take_up(state: State, turn: TurnRow) -> bool:
    """Go on with the turn, where its program is still there."""
    row = await state.store.get("session", turn.stream)
    instance = next((s for s in instances_of(state, turn.peer) if s.entry.session_id == turn.stream), None)
    if row is None or instance is None:
        return False
    runner = state.runners[turn.stream] = SessionRunner(state, turn.stream)
    runner.resume(session_of(row), turn, instance, await received(state.store, turn))
    return True


def _types(state: State, peer: str) -> bool:
    """Whether a message is typed into a terminal, where by now something else may be going on."""
    try:
        return state.peers.get(peer).kind is PeerKind.TERMINAL
    except UnknownPeer:
        return False


async def _interrupt(state: State, turn: TurnRow) -> None:
    drafts, rows = await _ending(state, turn)
    also = await over_if_once(state, turn.stream)
    await state.store.commit(
        turn.stream, [*drafts, *also.drafts], rows=[*rows, *also.rows], expects=also.expects
    )


async def _ending(state: State, turn: TurnRow) -> tuple[list[Draft], list[Row]]:
    """The end of a turn, and of what it had asked."""
    drafts, rows = await left_open(state.store, turn.stream, turn.id)
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
