"""Runs one plan: each step starts when the steps that it needs have ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from msgspec import UNSET, Struct
from msgspec.structs import replace

from rhetor.domain.command import SendMessage, StartPlan
from rhetor.domain.event import (
    Cause,
    ContextInjected,
    MessageAccepted,
    Payload,
    PlanEnded,
    PlanStatus,
    StepDone,
    StepFailed,
    StepSkipped,
    StepStarted,
    TurnEnd,
)
from rhetor.domain.node_commands import StopTurn
from rhetor.domain.parts import Part, given_again
from rhetor.domain.peer import Peer
from rhetor.domain.plan import Answer, Plan, Progress, Step, compose, step_outcome
from rhetor.domain.principal import Principal
from rhetor.domain.turn import Turn, TurnState
from rhetor.domain.usage import Source
from rhetor.drivers.base import Prompt
from rhetor.errors import INTERNAL_HINT, RhetorError, StateConflict
from rhetor.hub.catalog.notifications import Place
from rhetor.hub.catalog.outbox import notify_relay, outbox_rows
from rhetor.hub.catalog.turn_log import turn_end
from rhetor.hub.catalog.turns import PlanRow, TurnRow
from rhetor.hub.catalog.usage import Meter
from rhetor.hub.core.checks import check_content
from rhetor.hub.core.commits import commit_until_accepted, until_accepted
from rhetor.hub.programs.instances import acknowledge
from rhetor.hub.programs.ownership import peers_for
from rhetor.hub.sessions.delivery import deliver
from rhetor.hub.turns.attribution import attributed, nonce, require_hops
from rhetor.hub.turns.caller_limits import free_turns
from rhetor.hub.turns.context import context_for, context_sent
from rhetor.hub.turns.peer_call import call_peer, voice_for
from rhetor.hub.turns.pending import PendingRequests
from rhetor.hub.turns.stopping import stop_turn
from rhetor.hub.turns.turn_run import Closing, MakeClosing, TurnRun
from rhetor.store.base import Draft, Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

T = TypeVar("T")
log = logging.getLogger(__name__)


class Origin(Struct, frozen=True, gc=False):
    """What a plan follows from: the peers that its message has passed through, and the original, if the plan
    is not the original itself. `unattended`: nobody waits for it, so it continues when its readers leave."""

    via: tuple[str, ...] = ()
    cause: Cause | None = None
    unattended: bool = False


class PlanRun:
    """One running plan.

    Steps without a session write to the plan's stream, so that one cursor follows the whole plan. Steps in a
    session write to the session's stream, and the plan's stream has only their start and their end. `parts`:
    those of the steps' messages, by the step's id.
    """

    def __init__(
        self,
        state: State,
        principal: Principal,
        command: StartPlan,
        plan: Plan,
        row: PlanRow,
        origin: Origin,
        parts: Mapping[str, tuple[Part, ...]] = MappingProxyType({}),
    ) -> None:
        self._state = state
        self._principal = principal
        self._command = command
        self._progress = Progress(plan)
        self._row = row
        self._parts = parts
        self._active: set[str] = set()
        self._runs: dict[str, TurnRun] = {}
        self._sessions: dict[str, str] = {}
        self._initial_via = origin.via
        self._initial_cause = origin.cause
        self.unattended = origin.unattended
        self._via: dict[str, tuple[str, ...]] = {}
        self._stopped_by: str | None = None
        self._end_is_logged = False
        self._nothing_left = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def owner(self) -> str:
        """The caller that started the plan."""
        return self._row.owner

    @property
    def active(self) -> int:
        """The number of steps that have begun and not ended."""
        return len(self._active)

    @property
    def runs(self) -> Collection[TurnRun]:
        """The turns that run in the plan's own stream."""
        return self._runs.values()

    @property
    def sessions(self) -> Collection[str]:
        """The sessions in which steps of the plan run."""
        return self._sessions.values()

    async def run(self) -> None:
        """Run the plan from its first steps to its `plan.ended` event."""
        try:
            self._advance()
            await self._nothing_left.wait()
            if not self._end_is_logged:
                await self._commit([self._ended()], [self._row.become(self._status).row()])
        finally:
            self._state.plans.pop(self._row.id, None)
            self._state.presence.forget(self._row.id)

    def stop(self, by: str) -> None:
        """Cancel the running steps, including those in sessions, and start no further step. Wrapped programs
        are not interrupted."""
        self._stopped_by = by
        for run in list(self._runs.values()):
            run.stop(lambda turn: turn.cancel(by), waiting_only=True)
        for session_id in list(self._sessions.values()):
            stop_turn(self._state, StopTurn(session_id, "", "cancel", by, waiting_only=True))

    def shut_down(self) -> None:
        """Interrupt the steps in the plan's own stream. The session runners interrupt those in sessions."""
        for run in list(self._runs.values()):
            run.stop(lambda turn: turn.interrupt("the hub was shut down"))

    def _advance(self) -> None:
        if self._stopped_by is None and not self._state.closing:
            for step in self._progress.ready_steps(self._free_places()):
                self._active.add(step.id)
                self._state.background.start(self._run_step(step), f"step {self._row.id} {step.id}")
        if not self._active:
            self._nothing_left.set()

    def _free_places(self) -> int | None:
        """Return how many steps may start now, None for all. If the caller has reached its limit of turns,
        one step at a time runs nevertheless, so that the plan comes to its end."""
        most = self._command.max_parallel
        places = None if most is None else most - len(self._active)
        free = free_turns(self._state, self._principal)
        if free is None:
            return places
        free = max(free, 0 if self._active else 1)
        return free if places is None else min(places, free)

    async def _run_step(self, step: Step) -> None:
        """Run one step to its end. An error fails this step only."""
        try:
            message = self._message(step)
            if message or step.id not in self._parts:
                check_content(message, self._state.limits.message_bytes)
            require_hops(self._passed_through(step), self._state.limits.hops)
            if step.session_id or step.context_window is not None or self._is_elsewhere(step):
                await self._in_session(step, message)
            else:
                await self._in_plan(step, message)
        except RhetorError as error:
            await self._fail(StepFailed(step.id, error.code, error.detail, error.retryable, error.data))
        except Exception as error:  # an unexpected error fails only this step, and the plan ends
            log.exception("step failed", extra={"plan": self._row.id, "step": step.id})
            data = {"hint": INTERNAL_HINT}
            await self._fail(StepFailed(step.id, "internal", type(error).__name__, data=data))
        finally:
            self._active.discard(step.id)
            self._advance()

    async def _fail(self, failed: StepFailed) -> None:
        self._progress.failed.add(failed.step)
        await self._commit([Draft(failed, step=failed.step), *self._skipped()])

    def _message(self, step: Step) -> str:
        inputs = self._progress.inputs(step)
        stdin = "" if inputs else self._command.stdin
        peer = peers_for(self._state, self._principal).resolve(step.target)[0]
        message = compose(step.template, inputs, nonce(), stdin, plain=peer.reads_plain)
        if not message:  # it has only parts
            return ""
        has_own_text = step.template or not inputs
        return attributed(self._state, self._principal, message, peer) if has_own_text else message

    def _passed_through(self, step: Step) -> tuple[str, ...]:
        """Return the longest path of peers that the step's message has passed through."""
        return max((self._via[need] for need in step.needs), key=len, default=self._initial_via)

    def _runs_input(self, step: Step) -> bool:
        """Return whether a program runs the message. In a pipeline it does, also without being told."""
        is_piped = bool(step.needs or self._command.stdin)
        return step.execute or is_piped or any(step.id in other.needs for other in self._command.steps)

    def _is_elsewhere(self, step: Step) -> bool:
        """Return whether only another node can reach the peer of a step, which then answers in a session."""
        nodes = self._state.nodes
        if not nodes.own:
            return False
        peer = peers_for(self._state, self._principal).resolve(step.target)[0]
        return nodes.of_peer(peer.name) != nodes.own

    async def _in_plan(self, step: Step, message: str) -> None:
        state = self._state
        peer, match = peers_for(state, self._principal).resolve(step.target)
        if step.if_offline != "queue":
            state.machines.require_online(peer)
        turn = Turn(state.ids.new("t"), state.ids.new("m"), peer.name)
        via = self._passed_through(step)
        self._via[step.id] = (*via, peer.name)
        row = await self._turn_row(step, turn)
        capability, score = (match.capability.name, match.capability.score) if match else (None, None)
        started = StepStarted(step.id, peer.name, None, turn.turn_id, capability, score)
        accepted = self._accepted(step, message, turn, via)
        context = await self._begin_turn(step, peer, row, (accepted, turn.start()), started)
        pending = self._pending(step, turn, accepted)
        run = self._turn_run(step, row, peer, turn, pending)
        self._runs[step.id] = run
        if self._stopped_by is not None:
            self.stop(self._stopped_by)
        try:
            prompt = Prompt(
                message,
                accepted.execute,
                step.delimiter,
                context=context,
                turn=turn.turn_id,
                parts=accepted.parts or (),
                schema=None if accepted.response_schema is UNSET else accepted.response_schema,
            )
            await run.run(call_peer(state, peer.name, prompt, pending, voice_for(accepted)))
            notify_relay(state.routing_table, row)
        finally:
            del self._runs[step.id]
            state.notifier.notify()

    def _accepted(self, step: Step, message: str, turn: Turn, via: tuple[str, ...]) -> MessageAccepted:
        return MessageAccepted(
            turn.message_id,
            "user",
            message,
            self._sender,
            via,
            self._runs_input(step),
            step.delimiter,
            self._cause(turn.message_id) or UNSET,
            step.model or UNSET,
            step.system or UNSET,
            self._parts.get(step.id) or UNSET,
            step.response_schema,
        )

    def _pending(self, step: Step, turn: Turn, accepted: MessageAccepted) -> PendingRequests:
        pending = PendingRequests(self._state, self._row.id, self._row.owner, turn, step.id)
        pending.via = accepted.via
        pending.sender = accepted.from_
        pending.cause = accepted.cause or Cause(self._row.id)
        pending.cwd = self._command.cwd if self._principal.local else None
        pending.project = pending.cause.project or ""
        return pending

    def _turn_run(
        self, step: Step, row: TurnRow, peer: Peer, turn: Turn, pending: PendingRequests
    ) -> TurnRun:
        state = self._state
        source = Source(peer.name, pending.caller, pending.project)
        return TurnRun(
            state.store,
            state.background,
            self._row.id,
            turn,
            step.id,
            self._closing(step, row, peer, turn),
            pending,
            Meter(state.usage, source, turn.turn_id, state.ids.now),
            partial(acknowledge, state),
        )

    async def _begin_turn(
        self, step: Step, peer: Peer, row: TurnRow, payloads: Sequence[Payload], started: StepStarted
    ) -> tuple[ContextInjected, ...]:
        """Commit the step's message with the context that is sent before it, and return that context."""
        while True:
            sender = "" if step.needs else self._command.from_
            given = self._row.owner, peer, sender, step.context
            taken = await self._persist(partial(context_for, self._state, *given))
            drafts = [Draft(p, row.id, step.id) for p in (started, *taken.payloads, *payloads)]
            try:
                await self._commit(drafts, [row.row(), *taken.rows], taken.expects)
            except StateConflict:  # another message was sent with the promoted context
                continue
            context_sent(self._state, taken)
            return taken.payloads

    async def _turn_row(self, step: Step, turn: Turn) -> TurnRow:
        head = await self._persist(lambda: self._state.store.head(self._row.id))
        return TurnRow(
            turn.turn_id,
            self._row.id,
            turn.peer,
            TurnState.RUNNING,
            self._row.owner,
            turn.message_id,
            head.head if head else 0,
            step.id,
            self._state.ids.now(),
        )

    def _cause(self, message_id: str = "") -> Cause | None:
        """Return what a step's message follows from; None if it is the plan itself. The operations of a bulk
        request are independent messages."""
        if self._initial_cause is None and self._command.max_parallel is not None and message_id:
            return Cause(message_id)
        return self._initial_cause

    def _closing(
        self, step: Step, began: TurnRow, peer: Peer, turn: Turn
    ) -> Callable[[TurnEnd, TurnState], MakeClosing]:
        state = self._state

        def closing(end: TurnEnd, became: TurnState) -> MakeClosing:
            now = state.ids.now()
            row = replace(began, peer=turn.peer)  # another peer than at first may have answered
            self._via[step.id] = (*self._via[step.id][:-1], row.peer)
            answering = state.peers.get(row.peer) if state.peers.has(row.peer) else peer
            outcome = self._outcome(step, answering, end)
            state.peer_statistics.note(row.peer, end, now)
            drafts = [Draft(outcome, row.id, step.id), *self._skipped()]
            rows = [row.become(became).row(), *outbox_rows(state.routing_table, row, end, now)]
            if state.notifications:
                rows += state.notifications.rows([end], Place(row.owner, row.peer, row.stream, row.id))
            if self._active == {step.id} and (self._progress.over or self._stopped_by or state.closing):
                self._end_is_logged = True
                drafts.append(self._ended())
                rows.append(self._row.become(self._status).row())

            async def make() -> Closing:
                return Closing(drafts, [*rows, state.peer_statistics.row(row.peer, now)])

            return make

        return closing

    async def _in_session(self, step: Step, message: str) -> None:
        via = self._passed_through(step)
        command = SendMessage(
            message,
            None if step.session_id else step.target,
            step.session_id,
            step.context_window,
            self._runs_input(step),
            step.delimiter,
            step.if_busy,
            from_=self._command.from_,
            via=via,
            cwd=self._command.cwd,
            context=step.context,
            model=step.model,
            system=step.system,
            parts=given_again(self._parts[step.id]) if step.id in self._parts else UNSET,
            response_schema=step.response_schema,
            if_offline=step.if_offline,
        )
        cause = self._cause() or Cause(self._row.id)
        given = self._state, self._principal, command
        accepted = await self._persist(lambda: deliver(*given, cause=cause, counts=False))
        self._via[step.id] = (*via, accepted.peer)
        self._sessions[step.id] = accepted.session_id
        started = StepStarted(step.id, accepted.peer, accepted.session_id, accepted.turn_id)
        await self._commit([Draft(started, step=step.id)])
        if self._stopped_by is not None:
            self.stop(self._stopped_by)
        place = accepted.session_id, accepted.turn_id, accepted.after
        end, _ = await self._persist(lambda: turn_end(self._state.store, *place))
        del self._sessions[step.id]
        outcome = self._outcome(step, self._state.peers.get(accepted.peer), end)
        await self._commit([Draft(outcome, step=step.id), *self._skipped()])

    def _outcome(self, step: Step, peer: Peer, end: TurnEnd) -> StepDone | StepFailed:
        """Note how a step ended, and return the event that reports it.

        An answer without text is none for the steps that need it. A program may well print nothing.
        """
        outcome = step_outcome(step.id, end)
        is_needed = any(step.id in other.needs for other in self._progress.plan.steps)
        is_empty = isinstance(outcome, StepDone) and not outcome.text.strip()
        if is_empty and is_needed and not peer.reads_plain:
            detail = f"{peer.name} gave an answer without text"
            data = {"hint": "send the message again; the steps that need the answer did not run"}
            outcome = StepFailed(step.id, "empty_answer", detail, data=data)
        if isinstance(outcome, StepDone):
            self._progress.answers[step.id] = Answer(peer.title, outcome.text)
        else:
            self._progress.failed.add(step.id)
        return outcome

    def _skipped(self) -> list[Draft]:
        """Return the events of the steps that cannot run because a step that they need has failed."""
        found = self._progress.newly_skipped()
        return [Draft(StepSkipped(step.id, because), step=step.id) for step, because in found]

    def _ended(self) -> Draft:
        return Draft(PlanEnded(self._status))

    @property
    def _status(self) -> PlanStatus:
        if self._stopped_by is not None:
            return "cancelled"
        if self._state.closing:
            return "interrupted"
        return "completed" if len(self._progress.answers) == len(self._progress.plan.steps) else "failed"

    @property
    def _sender(self) -> str:
        return self._command.from_ or self._principal.subject

    async def _commit(
        self, drafts: Sequence[Draft], rows: Sequence[Row] = (), expects: Sequence[Expect] = ()
    ) -> None:
        await commit_until_accepted(self._state.store, self._row.id, drafts, rows, expects=expects)

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do the same as `until_accepted`, until the hub is closing."""
        return await until_accepted(attempt, self._row.id, lambda: self._state.closing)
