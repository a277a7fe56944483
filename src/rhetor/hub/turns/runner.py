"""The lane of a session: runs its turns one at a time, in the order in which they were accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from rhetor.domain.event import SessionStateChanged, TurnEnd
from rhetor.domain.output import Output
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import Turn, TurnState
from rhetor.drivers.base import Prompt, Said
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.outbox import notify_relay, outbox_rows
from rhetor.hub.catalog.requests import requests_of
from rhetor.hub.catalog.sessions import session_of, session_row
from rhetor.hub.catalog.turn_log import Received, received, said_so_far
from rhetor.hub.catalog.turns import TurnRow, waiting_turns
from rhetor.hub.programs.instances import acknowledge
from rhetor.hub.turns.peer_call import ask
from rhetor.store.base import Draft

from .pending import PendingRequests
from .turn_run import Closing, TurnRun

if TYPE_CHECKING:
    from rhetor.hub.state import State


class SessionRunner:
    """There while a turn of its session runs or waits. Who waits is read from the catalog, not kept here.
    `held`: for a turn that is about to be committed as the one that runs; until that `begin`s nobody does."""

    def __init__(self, state: State, session_id: str, *, held: bool = False) -> None:
        self._state = state
        self._session_id = session_id
        self.task: asyncio.Task[None] | None = None
        self.current: TurnRun | None = None
        self._looked = False
        self._held = held

    def begin(self, first: tuple[Session, TurnRow, Received] | None = None) -> None:
        """With `first`, whose start is in the log already, or, where that came to nothing, with who waits.
        The session is as it was committed with that."""
        self._held = False
        self._start(first)

    def look(self) -> None:
        """Let who waits run, behind those before."""
        self._looked = False  # whoever waits now may have come after the last look
        if not self._held:
            self._start(None)

    def _start(self, first: tuple[Session, TurnRow, Received] | None) -> None:
        if self.task is None:
            name = f"lane {self._session_id}"
            self.task = self._state.tasks.create_task(self._run(first), name=name)

    async def _run(self, first: tuple[Session, TurnRow, Received] | None) -> None:
        try:
            if first is not None:
                await self._take(*first, started=True)
                if first[0].once:
                    return  # the session ended with it
            while not self._looked:
                self._looked = True
                while (found := await self._next()) is not None:
                    message = await received(self._state.store, found[1])
                    await self._take(*found, message, started=False)
        finally:
            self._state.runners.pop(self._session_id, None)
            self._state.notifier.notify()
            self._state.presence.forget(self._session_id)

    def take_up(self, session: Session, row: TurnRow, instance: ProgramInstance, message: Received) -> None:
        """Go on with a turn that runs in a program since before this hub."""
        name = f"lane {self._session_id}"
        self.task = self._state.tasks.create_task(self._go_on(session, row, instance, message), name=name)

    async def _go_on(
        self, session: Session, row: TurnRow, instance: ProgramInstance, message: Received
    ) -> None:
        try:
            said = await said_so_far(self._state.store, row)
            asked = await requests_of(self._state, row.stream, row.id)
            turn = Turn(row.id, row.message_id, row.peer)
            turn.take_up(said, [each.id for each in asked])
            pending = PendingRequests(self._state, session.id, session.owner, turn)
            pending.instance, pending.conversation = instance.entry.key, instance.running.conversation()
            pending.via = message.message.via
            pending.taken_up(asked)
            self.current = self._turn_run(session, row, turn, pending)
            await self.current.run(instance.running.proceed())
            notify_relay(self._state, row)
        finally:
            self.current = None
        await self._run(None)

    async def _next(self) -> tuple[Session, TurnRow] | None:
        if self._state.closing:
            return None
        session = await self._session()
        if session is None or session.state is not SessionState.ACTIVE:
            return None
        waiting = await waiting_turns(self._state, self._session_id)
        return (session, waiting[0]) if waiting else None

    async def _take(self, session: Session, row: TurnRow, message: Received, *, started: bool) -> None:
        turn = Turn(row.id, row.message_id, row.peer)
        pending = PendingRequests(self._state, session.id, session.owner, turn)
        pending.via = message.message.via
        self.current = self._turn_run(session, row, turn, pending)
        try:
            start = turn.start()
            if not started:
                drafts, rows = [Draft(start, row.id)], [row.become(TurnState.RUNNING).row()]
                await self._state.store.commit(session.id, drafts, rows=rows)
            await self.current.run(self._outputs(session, message, pending))
            notify_relay(self._state, row)
        finally:
            self.current = None

    def _turn_run(self, session: Session, row: TurnRow, turn: Turn, pending: PendingRequests) -> TurnRun:
        state = self._state
        return TurnRun(
            state.store,
            state.tasks,
            session.id,
            turn,
            None,
            _closing(state, row, session),
            pending,
            partial(acknowledge, state),
            partial(state.presence.is_hurried, session.id),
        )

    async def _outputs(
        self, session: Session, received: Received, pending: PendingRequests
    ) -> AsyncGenerator[Output, None]:
        history = await self._history(session)
        message = received.message
        prompt = Prompt(message.content, message.execute, message.delimiter, session.tools, received.context)
        async with aclosing(
            ask(self._state, session.peer, prompt, history, pending, session.voice)
        ) as outputs:
            async for output in outputs:
                yield output

    async def _history(self, session: Session) -> Sequence[Said]:
        if not session.context_window:
            return ()
        spoken = await self._state.store.spoken(session.id, session.context_window)
        return [Said("assistant" if s.role == "assistant" else "user", s.content) for s in spoken]

    async def _session(self) -> Session | None:
        row = await self._state.store.get("session", self._session_id)
        return session_of(row) if row else None


def _closing(state: State, row: TurnRow, session: Session) -> Callable[[TurnEnd, TurnState], Closing]:
    """What ends with a turn: its row, its peer's figures, and the session that was for this turn alone."""

    def closing(end: TurnEnd, became: TurnState) -> Closing:
        stats = state.peer_statistics.note(row.peer, end, state.ids.now())
        also = _over(session)
        return Closing(
            also.drafts, [row.become(became).row(), stats, *outbox_rows(state, row, end), *also.rows]
        )

    return closing


def _over(session: Session) -> Closing:
    if not session.once:
        return Closing()
    over = session.become(SessionState.EXPIRED)
    return Closing([Draft(SessionStateChanged(over.state))], [session_row(over)])


async def over_if_once(state: State, stream: str) -> Closing:
    """What a turn's end means for the session it was in, where the stream is one."""
    row = await state.store.get("session", stream)
    return _over(session_of(row)) if row else Closing()


def wake(state: State, session_id: str) -> None:
    """Let the session's waiting turns run, where none of them does."""
    if session_id not in state.runners and not state.closing:
        state.runners[session_id] = SessionRunner(state, session_id)
    if runner := state.runners.get(session_id):
        runner.look()
