"""Pauses a running turn until a person, or the time, decides how it continues.

While a turn is paused, its row is `waiting`, a row of kind `pause` has the reason, and a permission request
offers the ways to continue. So every API that shows and answers permission requests shows and answers pauses,
too. The request does not expire, and no rule answers it. If the hub stops, the next one takes the pause up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import BudgetReached, PermissionAnswered, PermissionOption, QuotaPaused
from rhetor.domain.output import Output, Paused, Permission
from rhetor.domain.timestamps import timestamp
from rhetor.domain.turn import TurnState
from rhetor.errors import StateConflict
from rhetor.hub.catalog.pauses import OVER, PAUSED, Pause, Question
from rhetor.hub.catalog.requests import Request, row_id
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.commits import commit_until_accepted, until_accepted

if TYPE_CHECKING:
    from rhetor.hub.active import Runner
    from rhetor.hub.state import State
    from rhetor.hub.turns.pending import PendingRequests
    from rhetor.store.base import Row

CONTINUE, NOW, STOP = "continue", "now", "stop"  # ids of options
PEER = "peer:"  # before the name of another peer: the id of the option to pass the turn on to it
RESET = "reset"  # the value of `by` if the time of a pause answered its request
# The clock is looked at this often, because timers do not count the time in which a machine is suspended.
TICK_SECONDS = 1.0


class TurnStopped(Exception):
    """The turn was paused, and `by` chose to stop it."""

    def __init__(self, by: str) -> None:
        super().__init__(by)
        self.by = by


def stop_option() -> PermissionOption:
    return PermissionOption(STOP, "Stop", "reject_once")


def peer_option(name: str) -> PermissionOption:
    """Return the option to pass the turn on to another peer."""
    return PermissionOption(f"{PEER}{name}", f"Use {name} instead", "allow_once")


class PausedTurn:
    """The pause of a running turn. It is set as the `pause` of the turn's pending requests while it lasts.

    `pause`: what is stored. `chosen`: the id of the option that was chosen, and `by` whom or what; empty
    before that.
    """

    def __init__(self, state: State, pending: PendingRequests, pause: Pause, turn: TurnRow) -> None:
        self.pause = pause
        self.chosen = self.by = ""
        self._state = state
        self._pending = pending
        self._turn = turn
        self._is_new = True
        self._opened = asyncio.Event()
        self._answer: asyncio.Future[PermissionAnswered] = asyncio.get_running_loop().create_future()

    @classmethod
    async def begin(
        cls,
        state: State,
        pending: PendingRequests,
        question: Question,
        *,
        begun: bool = False,
        called: Sequence[str] = (),
    ) -> PausedTurn:
        """Return a new pause of the running turn. `begun`, `called`: as in `Pause`."""
        turn = await turn_row(state, pending)
        pause = Pause(
            turn.id,
            pending.stream,
            pending.owner,
            pending.peer,
            state.ids.new("q"),
            question,
            begun,
            tuple(called) or (pending.peer,),
            state.ids.now(),
        )
        return cls(state, pending, pause, turn)

    @classmethod
    def taken_up(cls, state: State, pending: PendingRequests, pause: Pause, turn: TurnRow) -> PausedTurn:
        """Return a pause that began under an earlier hub. Its request must be one of `pending`, unless it was
        answered."""
        paused = cls(state, pending, pause, turn)
        paused._is_new = False
        paused._opened.set()
        pending.pause = paused
        return paused

    @property
    def request_id(self) -> str:
        return self.pause.request_id

    def opened(self) -> Sequence[Row]:
        """Return the rows to commit together with the permission request."""
        self._opened.set()
        return self.pause.row(PAUSED), self._turn.become(TurnState.WAITING).row()

    def answered(self, answer: PermissionAnswered) -> None:
        """Continue as the committed answer says."""
        if not self._answer.done():
            self._answer.set_result(answer)

    async def outputs(self) -> AsyncGenerator[Output, None]:
        """Pause the turn, and end when it is decided how it continues: then `chosen` is set.

        Raises:
            TurnStopped: the turn is to be stopped.
        """
        began = asyncio.get_running_loop().time()
        self._state.pauses[self.pause.id] = self.pause
        self._changed()
        try:
            if self._is_new:
                yield self._begins()
            else:
                await self._find_answer()
            answer = await self._decided()
        finally:
            del self._state.pauses[self.pause.id]
            self._changed()
            self._pending.paused_seconds += asyncio.get_running_loop().time() - began
        self.chosen, self.by = answer.option_id or STOP, answer.by
        if self.chosen == STOP:
            raise TurnStopped(answer.by)

    def _changed(self) -> None:
        self._state.notifier.notify()
        self._state.live.turn_changed(self.pause.stream, self.pause.peer)

    async def choose(self, option_id: str, by: str) -> None:
        """Answer the request, unless somebody else has answered it."""
        await self._opened.wait()
        request = self._pending.open_request(self.request_id)
        if request is None:
            return
        answer = PermissionAnswered(self.request_id, option_id, by)
        try:
            await until_accepted(lambda: self._pending.answer(request, answer, None), self.pause.stream)
        except StateConflict:
            return  # it was answered in the meantime

    async def over(self) -> None:
        """Store that the turn continues. From then on, another hub ends it as interrupted."""
        rows = [self.pause.row(OVER), self._turn.become(TurnState.RUNNING).row()]
        await commit_until_accepted(self._state.store, self.pause.stream, [], rows)
        self._pending.pause = None

    @property
    def other_peer(self) -> str | None:
        """The peer that was chosen to answer instead."""
        return self.chosen.removeprefix(PEER) if self.chosen.startswith(PEER) else None

    def _begins(self) -> Paused:
        question = self.pause.question
        permission = Permission(self.request_id, question.cause, question.detail, question.options)
        if question.resets_at is None or question.follows:
            return Paused(permission)
        resets_at = timestamp(question.resets_at)
        if (limit := question.raises) is None:
            return Paused(permission, QuotaPaused(resets_at, question.reason))
        share = float(limit.spent) / float(limit.value) if float(limit.value) else 1.0
        reached = BudgetReached(
            limit.name, limit.limit, limit.value, limit.spent, round(share, 4), resets_at, "ask"
        )
        return Paused(permission, reached)

    async def _find_answer(self) -> None:
        """Find the answer that was given when no turn was waiting for it, if there is one."""
        place = row_id(self.pause.stream, self.request_id)
        row = await until_accepted(lambda: self._state.store.get("permission", place), self.pause.stream)
        request = Request.of(row) if row is not None else None
        if request is not None and request.answer is not None:
            answer = PermissionAnswered(request.id, request.answer["option_id"], request.answer["by"])
            self._pending.note_answer(answer)

    async def _decided(self) -> PermissionAnswered:
        question = self.pause.question
        if not question.then or question.resets_at is None:
            return await self._answer
        while not self._answer.done():
            left = (question.resets_at - self._state.ids.now()) / 1000
            if left <= 0:
                await self.choose(question.then, RESET)
                break
            await asyncio.wait([self._answer], timeout=min(left, TICK_SECONDS))
        return await self._answer


def leave_paused(runner: Runner) -> None:
    """Stop a runner whose turn is paused, so that the next hub takes the pause up."""
    if runner.task is not None:
        runner.task.cancel()


async def turn_row(state: State, pending: PendingRequests) -> TurnRow:
    """Return the catalog row of the running turn."""
    row = await until_accepted(lambda: state.store.get("turn", pending.turn_id), pending.stream)
    assert row is not None  # it was committed with the turn's message
    return replace(TurnRow.of(row), state=TurnState.RUNNING)
