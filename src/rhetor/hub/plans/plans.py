"""Plans: pipelines, broadcasts, joins and bulk requests. The whole plan is checked before any step runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.command import StartPlan, StopPlan
from rhetor.domain.event import PlanStarted, Position
from rhetor.domain.plan import Plan, Step, compose
from rhetor.domain.principal import Principal
from rhetor.errors import NotFound
from rhetor.hub.catalog.turns import PlanRow
from rhetor.hub.core.checks import check_content
from rhetor.hub.core.commits import command_key
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions import uploads
from rhetor.hub.sessions.states import sendable_session
from rhetor.hub.turns.attribution import cause_of, passed_through
from rhetor.hub.turns.caller_limits import require_tokens, require_turn
from rhetor.hub.turns.peer_call import require_voice, voice_of
from rhetor.store.base import Draft

from .plan_run import Origin, PlanRun

if TYPE_CHECKING:
    from rhetor.hub.state import State


class Planned(msgspec.Struct, frozen=True):
    """A plan that is in the log. Its events come after the position `after` of the stream `plan_id`.

    `replayed`: the same command was accepted before, and this is its result.
    """

    plan_id: str
    after: Position
    replayed: bool = False


async def start(
    state: State,
    principal: Principal,
    command: StartPlan,
    origin: Origin | None = None,
    *,
    counts: bool = True,
) -> Planned:
    """Check the whole plan, then start it. If any step is invalid, none runs.

    `origin`: what the plan follows from, if the caller does not send it now. `counts`: the limits of the
    caller apply; they do not if an accepted message has started it.

    Raises:
        UnknownPeer, NoCapablePeer, UnknownTeam: the target of a step does not exist.
        NotFound: a step names a session that the caller does not have.
        Unprocessable: the steps have a cycle, an unknown dependency or a duplicate id; or a part or the
            schema of an answer is invalid.
        Unsupported: a peer does not take a part of its message, or gives no JSON answers.
        HopLimit: a message would pass through more peers than allowed.
        Malformed, TooLarge: the message of a first step is empty, not valid Unicode, or too large.
        TooManyTurns: as many of the caller's turns are running as may run at once.
        TokensExceeded: the caller has used too many tokens within the last hour.
        KeyReused: the command id was used with another command.
        StoreRefused, ShuttingDown: nothing was started; the command may be sent again.
    """
    state.require_open()
    origin = origin or Origin(passed_through(state, principal), cause_of(state, principal))
    plan, parts = await checked(state, principal, command, len(origin.via))
    if counts:
        require_turn(state, principal)
        require_tokens(state, principal, origin.cause)
    return await state.background.complete(_begin(state, principal, command, plan, origin, parts), "plan")


async def checked(
    state: State, principal: Principal, command: StartPlan, passed: int
) -> tuple[Plan, Mapping[str, uploads.Parts]]:
    """Return the plan of a command, if it can run, and the parts of its messages, by step. `passed`: how many
    peers its message has passed through.

    Raises:
        UnknownPeer, NoCapablePeer, UnknownTeam, NotFound, Unprocessable, Unsupported, HopLimit, Malformed,
            TooLarge: as `start`.
    """
    steps = expanded(state, command.steps)
    plan = Plan(steps)
    plan.check(state.limits.hops - passed)
    parts: dict[str, uploads.Parts] = {}
    for step in steps:
        if step.parts:
            parts[step.id] = await uploads.parts_of(state, principal, step.parts)
        await check_step(state, principal, step, command.stdin, parts.get(step.id, ()))
    return plan, parts


async def stop(state: State, principal: Principal, command: StopPlan) -> None:
    """Cancel the running steps of the plan, and start no further step. No effect if the plan has ended.

    Raises:
        NotFound: the caller has no such plan.
    """
    await owned_plan(state, principal, command.plan_id)
    if run := state.plans.get(command.plan_id):
        run.stop(principal.subject)


async def owned_plan(state: State, principal: Principal, plan_id: str) -> PlanRow:
    """Return the caller's plan with this id.

    Raises:
        NotFound: the caller has no such plan.
    """
    row = await state.store.get("plan", plan_id)
    if row is None or row.owner != principal.subject:
        raise NotFound("plan", plan_id)
    return PlanRow.of(row)


def expanded(state: State, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps, with each step for a team replaced by one step per member.

    A step that needs the team's step then needs the steps of all members.

    Raises:
        UnknownTeam: there is no such team.
    """
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


async def check_step(
    state: State, principal: Principal, step: Step, stdin: str, parts: uploads.Parts
) -> None:
    """Check that a step can run. `parts`: of its message.

    Raises:
        UnknownPeer, NoCapablePeer, UnknownTeam, NotFound, Forbidden, Unprocessable, Unsupported, Malformed,
            TooLarge: it cannot.
    """
    peer = peers_for(state, principal).resolve(step.target)[0]
    require_voice(peer, step.model, step.system)
    voice = None
    if step.session_id:
        voice = (await sendable_session(state, principal, step.session_id)).voice
    if parts or step.response_schema is not msgspec.UNSET:
        answering = voice_of(peer, voice, step.model)
        await uploads.require_taken(state, answering, parts, step.response_schema)
    message = compose(step.template, (), "", stdin)
    if not step.needs and (message or not parts):
        check_content(message, state.limits.message_bytes)


async def _begin(
    state: State,
    principal: Principal,
    command: StartPlan,
    plan: Plan,
    origin: Origin,
    parts: Mapping[str, uploads.Parts],
) -> Planned:
    plan_id = state.ids.new("p")
    shown = tuple(_shown(step) for step in plan.steps)
    row = PlanRow(plan_id, principal.subject, "running", shown, state.ids.now())
    key = command_key(principal, command, plan_id)
    all_parts = tuple(part for each in parts.values() for part in each)
    kept, needed = uploads.rows_for(state, principal.subject, plan_id, all_parts) if parts else ([], [])
    committed = await state.store.commit(
        plan_id, [Draft(PlanStarted(shown))], key=key, rows=[row.row(), *kept], expects=needed
    )
    after = Position(committed.epoch, committed.first - 1)
    if committed.replayed:
        return Planned(msgspec.json.decode(committed.result), after, replayed=True)
    run = PlanRun(state, principal, command, plan, row, origin, parts)
    state.plans[plan_id] = run
    run.task = state.background.start(run.run(), f"plan {plan_id}")
    return Planned(plan_id, after)


def _shown(step: Step) -> dict[str, object]:
    """Return a step as `plan.started` shows it, without its text, which is in the step's message."""
    return {"id": step.id, "ai": step.target, "depends_on": list(step.needs), "session_id": step.session_id}
