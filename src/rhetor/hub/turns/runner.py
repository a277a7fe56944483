"""Runs the turns of a session one at a time, in the order in which they were accepted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from rhetor.domain.event import Position, SessionStateChanged, TurnCompleted, TurnEnd
from rhetor.domain.output import Output
from rhetor.domain.peer import Peer
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import OPEN, Turn, TurnState
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import INTERNAL_HINT, StateConflict
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.notifications import Place
from rhetor.hub.catalog.outbox import notify_relay, outbox_rows
from rhetor.hub.catalog.pauses import Pause
from rhetor.hub.catalog.requests import open_requests_of
from rhetor.hub.catalog.sessions import session_of, session_row, unchanged
from rhetor.hub.catalog.turn_log import Received, received, so_far
from rhetor.hub.catalog.turns import TurnRow, waiting_turns
from rhetor.hub.catalog.usage import Meter, source_of
from rhetor.hub.core.commits import commit_until_accepted, until_accepted
from rhetor.hub.programs.instances import acknowledge
from rhetor.hub.turns.peer_call import call_peer, voice_for
from rhetor.store.base import Draft, Expect

from .given import answer_in, continuation_rows, given_turn, past_of_given, takes_given
from .handover import after_answer_of, past_for
from .pauses import PausedTurn
from .pending import PendingRequests
from .turn_run import Closing, MakeClosing, TurnRun, commit_end

if TYPE_CHECKING:
    from rhetor.hub.state import State

First = tuple[Session, TurnRow, Received]  # a turn that runs as soon as its message is stored, or earlier
log = logging.getLogger(__name__)


class SessionRunner:
    """Runs the turns of one session. It exists while a turn of the session runs or waits.

    The runner reads from the catalog which turns wait, and has no queue of its own. A runner that is `held`
    belongs to a message whose commit is in progress: it runs nothing until `begin` is called, except for a
    turn that began early. `caller`: whose turn it will run, if that is known.
    """

    def __init__(self, state: State, session_id: str, caller: str = "", *, held: bool = False) -> None:
        self._state = state
        self._session_id = session_id
        self._caller = caller
        self.task: asyncio.Task[None] | None = None
        self.current: TurnRun | None = None
        self._checked = False
        self._held = held
        self._wanted = False
        self._early: asyncio.Future[None] | None = None  # completed when the turn that began early is stored
        self._opens_session = False
        self._version = 0  # of the session's row, as it was committed with a turn that began early

    @property
    def caller(self) -> str:
        """The caller whose turn runs, or is about to; empty if there is none, or it is not known yet."""
        current = self.current
        return "" if current is not None and current.turn.state not in OPEN else self._caller

    def begin_early(self, first: First) -> None:
        """Call the peer of a held runner while its message is being committed.

        Nothing of the turn is stored before the message is. If the message is rejected, the turn is cancelled
        and leaves no trace. So the peer's answer must have no effects. The caller commits the message next,
        and calls `begin` or `withdraw`.
        """
        self._early = asyncio.get_running_loop().create_future()
        self._checked = True
        self._opens_session = first[1].behind == 0
        self._start(first)

    def begin(self, first: First | None = None) -> None:
        """Release a held runner.

        It runs `first`, whose start is already in the log, and then the waiting turns. `first` has the
        session as it was committed with the turn.
        """
        self._held = False
        if self._early is not None and first is not None:
            self._version = first[0].version
            self._early.set_result(None)
            return
        # turns wait only if a message was accepted since this runner was made: then `wake` was called
        self._checked = first is not None and not self._wanted
        self._start(first)

    def withdraw(self) -> None:
        """Release a held runner whose message was not committed. Turns that were queued after it are run."""
        if self._early is not None:
            self._early.cancel()
            if self.task is not None:
                self.task.cancel()
                self.task = None  # its error refers to this runner, and so the message would stay in memory
        elif self._wanted:
            self.begin()
            return
        self._state.runners.pop(self._session_id, None)
        self._state.notifier.notify()
        if self._wanted:
            wake(self._state, self._session_id)

    def wake(self) -> None:
        """Run the waiting turns after the current one."""
        self._checked = False  # a turn may have been accepted since the last check
        self._wanted = True
        if not self._held:
            self._start(None)

    def resume(self, session: Session, row: TurnRow, instance: ProgramInstance, message: Received) -> None:
        """Continue a turn that an earlier hub started and its program is still running."""
        work = self._resumed(session, row, instance, message)
        self.task = self._state.background.start(work, f"session {self._session_id}")

    def take_up(self, session: Session, row: TurnRow, pause: Pause, message: Received) -> None:
        """Continue the pause of a turn that an earlier hub started."""
        work = self._taken_up(session, row, pause, message)
        self.task = self._state.background.start(work, f"session {self._session_id}")

    def _start(self, first: First | None) -> None:
        if self.task is None:
            self.task = self._state.background.start(self._run(first), f"session {self._session_id}")

    async def _run(self, first: First | None) -> None:
        try:
            if first is not None:
                session, row, message = first
                turn = _turn(row)
                turn.start()
                await self._run_turn(session, row, turn, message, max(row.behind, 1))
                self._early, self._version, self._opens_session = None, 0, False
            await self._run_waiting()
        finally:
            if self._state.runners.get(self._session_id) is self:  # it was not withdrawn
                del self._state.runners[self._session_id]
                self._state.notifier.notify()
                self._state.presence.forget(self._session_id)

    async def _run_waiting(self) -> None:
        while not self._checked:
            self._checked = True
            while (found := await until_accepted(self._next, self._session_id)) is not None:
                await self._run_waiting_turn(*found)

    async def _next(self) -> tuple[Session, TurnRow] | None:
        if self._state.closing:
            return None
        row = await self._state.store.get("session", self._session_id)
        session = session_of(row) if row else None
        if session is None or session.state is not SessionState.ACTIVE:
            return None
        waiting = await waiting_turns(self._state.store, self._session_id, limit=1)
        if not waiting or self._waits_for_machine(waiting[0].peer):
            return None
        return session, waiting[0]

    def _waits_for_machine(self, name: str) -> bool:
        """Whether the peer's machine is not connected. When it is, the session is woken."""
        state = self._state
        return state.peers.has(name) and not state.machines.is_here(state.peers.get(name))

    async def _run_waiting_turn(self, session: Session, row: TurnRow) -> None:
        store, turn = self._state.store, _turn(row)
        self._caller = row.owner
        still_waiting = [Expect("turn", row.id, frozenset({TurnState.ACCEPTED}))]
        running = row.become(TurnState.RUNNING).row()
        try:
            message = await until_accepted(lambda: received(store, row), session.id)
            start = Draft(turn.start(), row.id)
            started = await commit_until_accepted(
                store, session.id, [start], [running], expects=still_waiting
            )
        except StateConflict:  # it was cancelled in the meantime
            return
        except Exception as error:  # whatever it is, the turn must not stay accepted
            log.exception("starting a turn failed", extra={"session": session.id, "turn": row.id})
            await self._fail(session, row, error)
        else:
            began = row.become(TurnState.RUNNING)
            await self._run_turn(session, began, turn, message, started.first - 1)

    async def _resumed(
        self, session: Session, row: TurnRow, instance: ProgramInstance, message: Received
    ) -> None:
        def outputs(pending: PendingRequests) -> AsyncGenerator[Output, None]:
            pending.instance, pending.conversation = instance.entry.key, instance.running.conversation()
            return instance.running.resume_turn()

        await self._continue(session, row, message, outputs)

    async def _taken_up(self, session: Session, row: TurnRow, pause: Pause, message: Received) -> None:
        def outputs(pending: PendingRequests) -> AsyncGenerator[Output, None]:
            paused = PausedTurn.taken_up(self._state, pending, pause, row)
            outputs_of = self._with_given if message.message.api else self._outputs
            return outputs_of(session, message, pending, paused)

        await self._continue(session, row, message, outputs, has_output=pause.begun)

    async def _continue(
        self,
        session: Session,
        row: TurnRow,
        message: Received,
        outputs: Callable[[PendingRequests], AsyncGenerator[Output, None]],
        *,
        has_output: bool = True,
    ) -> None:
        """Continue a turn that an earlier hub started, then run those that wait. `outputs` returns what
        follows; `has_output`: the peer had begun to answer."""
        store, turn = self._state.store, _turn(row)
        try:
            logged = await until_accepted(lambda: so_far(store, row), row.stream)
            requests = await until_accepted(lambda: open_requests_of(store, row.stream, row.id), row.stream)
            asked = [request.id for request in requests]
            turn.take_up(logged.text, asked, logged.calls, has_output=has_output)
            self._state.usage.resume(row.id, logged.usage)
            pending = self._pending(session, turn, message)
            pending.restore(requests)
            following = outputs(pending)
            worked = logged.seconds(self._state.ids.now())
            pending.since = logged.started or pending.since
            self.current = self._turn_run(session, row, turn, message, pending, worked)
            await self.current.run(following)
            notify_relay(self._state.routing_table, row, session.project_id)
        except Exception as error:  # whatever it is, the turn must not stay running, or paused
            log.exception("continuing a turn failed", extra={"session": session.id, "turn": row.id})
            await self._try_fail(session, row, error)
        finally:
            self.current, self._caller = None, ""
        await self._run(None)

    async def _run_turn(
        self, session: Session, row: TurnRow, turn: Turn, message: Received, before: int
    ) -> None:
        """Run a turn whose start is in the log. `before`: the number of the last event before the turn, or
        before its start if it was queued."""
        pending = self._pending(session, turn, message)
        pending.start = self._early
        self.current = self._turn_run(session, row, turn, message, pending)
        try:
            if message.message.api and message.given is None:
                outputs = self._with_given(session, message, pending)
            else:
                outputs = self._outputs(session, message, pending)
            if self._state.limits.checkpoints.per_turn:
                outputs = self._after_checkpoint(session, turn.turn_id, message, before, outputs)
            await self.current.run(outputs)
            notify_relay(self._state.routing_table, row, session.project_id)
        except Exception as error:  # its end cannot be stored; the turns that wait must run all the same
            log.exception("running a turn failed", extra={"session": session.id, "turn": row.id})
            await pending.until_started()
            await self._try_fail(session, row, error)
        finally:
            self.current, self._caller = None, ""

    async def _try_fail(self, session: Session, row: TurnRow, error: Exception) -> None:
        """Do the same as `_fail`. If that fails too, the turn is ended when the hub starts again."""
        try:
            await self._fail(session, row, error)
        except Exception:  # the turns that wait must run all the same
            log.exception("failing a turn failed", extra={"session": session.id, "turn": row.id})

    async def _fail(self, session: Session, row: TurnRow, error: Exception) -> None:
        """End a turn that could not be run, so that it does not stay accepted or running forever."""
        turn = _turn(row)
        start = turn.start()
        payloads = turn.fail("internal", f"{type(error).__name__}: {error}", False, {"hint": INTERNAL_HINT})
        end = payloads[-1]
        assert isinstance(end, TurnEnd)
        make = _closing(self._state, row, session, turn)(end, turn.state)
        started = () if row.state is TurnState.RUNNING else (start,)
        meter = _meter(self._state, session, row.id)
        at = meter.time_of(payloads)
        drafts = [Draft(payload, row.id, at=at) for payload in (*started, *payloads)]
        await commit_end(self._state.store, session.id, drafts, meter, make)
        meter.stored()
        self._state.notifications.wake()

    def _pending(self, session: Session, turn: Turn, message: Received) -> PendingRequests:
        pending = PendingRequests(self._state, session.id, session.owner, turn)
        pending.via = message.message.via
        pending.sender = message.message.from_
        if message.message.cause:
            pending.cause = message.message.cause
        pending.project = session.project_id or pending.cause.project or ""
        return pending

    def _turn_run(
        self,
        session: Session,
        row: TurnRow,
        turn: Turn,
        message: Received,
        pending: PendingRequests,
        worked: float = 0.0,
    ) -> TurnRun:
        state = self._state
        return TurnRun(
            state.store,
            state.background,
            session.id,
            turn,
            None,
            partial(self._closed, row, session, turn, message),
            pending,
            _meter(state, session, turn.turn_id, pending),
            partial(acknowledge, state),
            partial(state.presence.wants_each_event, session.id),
            worked=worked,
        )

    def _closed(
        self, row: TurnRow, session: Session, turn: Turn, message: Received, end: TurnEnd, became: TurnState
    ) -> MakeClosing:
        if self._version:
            session = replace(session, version=self._version)
        return _closing(self._state, row, session, turn, message)(end, became)

    def _outputs(
        self,
        session: Session,
        received: Received,
        pending: PendingRequests,
        paused: PausedTurn | None = None,
    ) -> AsyncGenerator[Output, None]:
        message = received.message
        prompt = Prompt(
            message.content,
            message.execute,
            message.delimiter,
            session.tools,
            received.context,
            turn=pending.turn_id,
            parts=message.parts or (),
            schema=None if message.response_schema is UNSET else message.response_schema,
        )
        history = self._history(session, pending)
        if received.given is not None and takes_given(self._state.peers.get(pending.peer)):
            conversation = received.given.conversation
            prompt = replace(prompt, given=conversation)
            history = partial(past_of_given, self._state, conversation, pending)
        voice = voice_for(message, session.voice)
        return call_peer(self._state, pending.peer, prompt, pending, voice, history, paused)

    async def _with_given(
        self,
        session: Session,
        received: Received,
        pending: PendingRequests,
        paused: PausedTurn | None = None,
    ) -> AsyncGenerator[Output, None]:
        """Read the conversation that a client gave with the message, then do the same as `_outputs`."""
        state, turn_id = self._state, pending.turn_id
        given = await until_accepted(lambda: given_turn(state, session, turn_id), session.id)
        outputs = self._outputs(session, replace(received, given=given), pending, paused)
        async with aclosing(outputs):
            async for output in outputs:
                yield output

    async def _after_checkpoint(
        self,
        session: Session,
        turn_id: str,
        received: Received,
        before: int,
        outputs: AsyncGenerator[Output, None],
    ) -> AsyncGenerator[Output, None]:
        async with aclosing(outputs):
            head = await until_accepted(lambda: self._state.store.head(session.id), session.id)
            if head is not None:
                at = Position(head.epoch, before)
                await self._state.before_turn(session, turn_id, at, received.message.content)
            async for output in outputs:
                yield output

    def _history(
        self, session: Session, pending: PendingRequests
    ) -> Callable[[Peer], Awaitable[Sequence[PastMessage]]]:
        if self._opens_session:  # whose stream may not be stored yet
            return _no_past
        return lambda peer: past_for(self._state, session, peer, pending)


async def _no_past(peer: Peer) -> Sequence[PastMessage]:
    return ()


def _meter(state: State, session: Session, turn_id: str, pending: PendingRequests | None = None) -> Meter:
    source = source_of(session)
    if pending is not None:  # what a program sends is used for the sender of what the program answers
        source = replace(source, caller=pending.caller, project=pending.project)
    return Meter(state.usage, source, turn_id, state.ids.now)


def _turn(row: TurnRow) -> Turn:
    return Turn(row.id, row.message_id, row.peer)


def _closing(
    state: State, began: TurnRow, session: Session, turn: Turn, message: Received | None = None
) -> Callable[[TurnEnd, TurnState], MakeClosing]:
    """Return the `closing` of a session's turn. It commits the rows of the turn, of its peer's statistics and
    of the outbox, and ends a session that was created for this turn only. `message`: the turn's, if it is
    known."""

    project = session.project_id

    def closing(end: TurnEnd, became: TurnState) -> MakeClosing:
        now = state.ids.now()
        row = replace(began, peer=turn.peer)  # another peer than at first may have answered
        state.peer_statistics.note(row.peer, end, now)
        rows = [row.become(became).row(), *outbox_rows(state.routing_table, row, end, now, project)]
        if state.notifications:
            rows += state.notifications.rows([end], Place(session.owner, row.peer, row.stream, row.id))
        answered_by_guest = turn.peer != session.peer or bool(session.heard)
        known: Session | None = session

        async def make() -> Closing:
            nonlocal known
            changes = Closing()
            if session.once:
                changes = await closing_if_once(state, row.stream, known)
            elif answered_by_guest and isinstance(end, TurnCompleted):
                changes = await _heard(state, row)
            known = None  # this is called again if the session has changed since the turn began
            stats = state.peer_statistics.row(row.peer, now)
            also = [*rows, stats, *changes.rows]
            if message is not None and message.message.api:
                answer = answer_in(turn) if isinstance(end, TurnCompleted) else None
                also += await continuation_rows(state, session, turn.turn_id, answer, message.given)
            return Closing(changes.drafts, also, changes.expects, changes.once)

        return make

    return closing


async def _heard(state: State, turn: TurnRow) -> Closing:
    """Return what to commit because a peer has answered, if several peers answer in the session."""
    row = await state.store.get("session", turn.stream)
    if row is None or not state.peers.has(turn.peer) or not state.peers.get(turn.peer).remembers:
        return Closing()
    session = session_of(row)
    changed = after_answer_of(session, turn.peer, turn.id)
    if changed is session:
        return Closing()
    return Closing(rows=[session_row(changed)], expects=[unchanged(session)])


async def closing_if_once(state: State, stream: str, known: Session | None = None) -> Closing:
    """Return what to commit to end a session that was created for one message; nothing for other streams.

    `known`: the session of the stream, if it need not be read. The commit fails if it has changed since."""
    row = None if known else await state.store.get("session", stream)
    session = session_of(row) if row else known
    if session is None or not session.once:
        return Closing()
    if not session.takes_messages:
        return Closing(once=True)
    ended = session.become(SessionState.EXPIRED)
    drafts = [Draft(SessionStateChanged(ended.state))]
    return Closing(drafts, [session_row(ended)], [unchanged(session)], once=True)


def wake(state: State, session_id: str) -> None:
    """Run the waiting turns of the session, after its current turn if there is one."""
    if session_id in state.unrecovered:
        return  # it is woken when its last turn has ended
    if session_id not in state.runners and not state.closing:
        state.runners[session_id] = SessionRunner(state, session_id)
    if runner := state.runners.get(session_id):
        runner.wake()
