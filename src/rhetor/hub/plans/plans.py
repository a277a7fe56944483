"""Plans: pipelines, broadcasts, fan-ins and bulk requests, checked whole before any of it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import Principal, StartPlan, StopPlan
from rhetor.domain.event import PlanStarted, Position
from rhetor.domain.plan import Plan, Step, compose
from rhetor.errors import NotFound
from rhetor.hub.catalog.turns import PlanRow
from rhetor.hub.core.checks import check_content
from rhetor.hub.core.commits import command_key
from rhetor.hub.sessions.sessions import owned_session
from rhetor.hub.turns.attribution import passed_through
from rhetor.store.base import Draft

from .plan_run import PlanRun

if TYPE_CHECKING:
    from rhetor.hub.state import State


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that is in the log. Its events stand behind `after` of the stream `plan_id`."""

    plan_id: str
    after: Position
    replayed: bool = False


async def start(state: State, principal: Principal, command: StartPlan) -> Planned:
    """Check the plan whole, then begin it: either all of it may run, or nothing does.

    Raises:
        UnknownPeer, NoCapablePeer, UnknownTeam, NotFound: a step's target or session is not there.
        Unprocessable, HopLimit, Malformed, TooLarge: the plan makes no sense.
    """
    state.require_open()
    steps = expanded(state, command.steps)
    plan = Plan(steps)
    plan.check(state.limits.hops - len(passed_through(state, principal)))
    for step in steps:
        await _check_step(state, principal, step, command.stdin)
    return await state.background.complete(_begin(state, principal, command, plan), "plan")


async def stop(state: State, principal: Principal, command: StopPlan) -> None:
    """Cancel the steps that run; none is started any more. A plan that has ended stays as it ended.

    Raises:
        NotFound: there is none of that id, or it is somebody else's.
    """
    await owned_plan(state, principal, command.plan_id)
    if run := state.plans.get(command.plan_id):
        run.stop(principal.subject)


async def owned_plan(state: State, principal: Principal, plan_id: str) -> PlanRow:
    row = await state.store.get("plan", plan_id)
    if row is None or row.owner != principal.subject:
        raise NotFound("plan", plan_id)
    return PlanRow.of(row)


def expanded(state: State, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps for teams as one step for each member; who needs the team needs all of them."""
    members: dict[str, tuple[str, ...]] = {}
    out: list[Step] = []
    for step in steps:
        if step.target.startswith("team:"):
            names = state.peers.team(step.target.removeprefix("team:"))
            out += [replace(step, id=f"{step.id}.{name}", target=name) for name in names]
            members[step.id] = tuple(f"{step.id}.{name}" for name in names)
        else:
            out.append(step)
    return tuple(
        replace(s, needs=tuple(n for need in s.needs for n in members.get(need, (need,)))) for s in out
    )


async def _check_step(state: State, principal: Principal, step: Step, stdin: str) -> None:
    state.peers.resolve(step.target)
    if step.session_id:
        await owned_session(state, principal, step.session_id)
    if not step.needs:
        check_content(compose(step.template, (), "", stdin), state.limits.message_bytes)


async def _begin(state: State, principal: Principal, command: StartPlan, plan: Plan) -> Planned:
    plan_id = state.ids.new("p")
    shown = tuple(_shown(step) for step in plan.steps)
    row = PlanRow(plan_id, principal.subject, "running", shown, state.ids.now())
    key = command_key(principal, command, plan_id)
    committed = await state.store.commit(plan_id, [Draft(PlanStarted(shown))], key=key, rows=[row.row()])
    after = Position(committed.epoch, committed.first - 1)
    if committed.replayed:
        return Planned(msgspec.json.decode(committed.result), after, replayed=True)
    run = PlanRun(state, principal, command, plan, row)
    state.plans[plan_id] = run
    run.task = state.background.start(run.run(), f"plan {plan_id}")
    return Planned(plan_id, after)


def _shown(step: Step) -> dict[str, object]:
    """A step as `plan.started` shows it: without its words, which its message has."""
    return {"id": step.id, "ai": step.target, "depends_on": list(step.needs), "session_id": step.session_id}
