"""Ends running turns: because a caller interrupts the session, or no longer waits for the turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhetor.domain.command import AbandonTurn, CancelTurn, InterruptSession
from rhetor.domain.event import TurnCancelled
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session
from rhetor.domain.turn import TurnState
from rhetor.errors import NotFound, UnknownPeer, UnknownTeam
from rhetor.hub.catalog.turns import TurnRow, waiting_turns
from rhetor.hub.core.commits import until_unchanged
from rhetor.store.base import Draft

from .states import sendable_session

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def interrupt(state: State, principal: Principal, command: InterruptSession) -> Session:
    """End the running turn of the session, if there is one. The next waiting turn then starts.

    Raises:
        NotFound, Forbidden: the caller has no such session, or may not send to it.
    """
    session = await sendable_session(state, principal, command.session_id)
    runner = state.runners.get(session.id)
    if runner is not None and runner.current is not None:
        runner.current.stop(lambda turn: turn.interrupt(f"interrupted by {principal.subject}"))
    return session


async def abandon(state: State, principal: Principal, command: AbandonTurn) -> str | None:
    """End a turn for which nobody waits any more: cancel it if it has not started, and interrupt it if it is
    running. A wrapped program is not interrupted. Return its name if it continues the turn.

    Raises:
        NotFound, Forbidden: the caller has no such session, or may not send to it, or it has no such turn.
    """

    async def attempt() -> str | None:
        session = await sendable_session(state, principal, command.session_id)
        await _require_turn(state, session, command.turn_id)
        if await _cancelled_waiting(state, principal, session, command.turn_id):
            return None
        return _leave_running(state, principal, session, command.turn_id)

    return await until_unchanged(attempt)


async def cancel(state: State, principal: Principal, command: CancelTurn) -> None:
    """Cancel a turn that is running, or that has not started. A turn that has ended stays as it is.

    Raises:
        NotFound, Forbidden: the caller has no such session, or may not send to it.
    """

    async def attempt() -> None:
        session = await sendable_session(state, principal, command.session_id)
        if await _cancelled_waiting(state, principal, session, command.turn_id):
            return
        runner = state.runners.get(session.id)
        if runner is not None and runner.current is not None:
            run = runner.current
            if run.turn.turn_id == command.turn_id:
                run.stop(lambda turn: turn.cancel(principal.subject))

    await until_unchanged(attempt)


async def _require_turn(state: State, session: Session, turn_id: str) -> None:
    row = await state.store.get("turn", turn_id)
    if row is None or TurnRow.of(row).stream != session.id:
        raise NotFound("turn", turn_id)


async def _cancelled_waiting(state: State, principal: Principal, session: Session, turn_id: str) -> bool:
    """Cancel the turn if it has not started. Return whether it had not."""
    for turn in await waiting_turns(state.store, session.id):
        if turn.id == turn_id:
            cancelled = Draft(TurnCancelled(principal.subject), turn.id)
            row = turn.become(TurnState.CANCELLED).row()
            await state.store.commit(session.id, [cancelled], rows=[row], expects=[turn.unchanged])
            return True
    return False


def _leave_running(state: State, principal: Principal, session: Session, turn_id: str) -> str | None:
    runner = state.runners.get(session.id)
    if runner is None or runner.current is None or runner.current.turn.turn_id != turn_id:
        return None
    if continues_alone(state, session.peer):
        return session.peer
    runner.current.stop(lambda turn: turn.interrupt(f"interrupted by {principal.subject}"))
    return None


def continues_alone(state: State, peer: str) -> bool:
    """Return whether the peer is a wrapped program, which no end of waiting interrupts."""
    try:
        return state.peers.get(peer).outlives_waiting
    except (UnknownPeer, UnknownTeam):
        return False
