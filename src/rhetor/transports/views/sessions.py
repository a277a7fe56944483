"""Sessions as lists show them, without their messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rhetor.dialects import resources
from rhetor.domain.session import Session
from rhetor.domain.timestamps import timestamp
from rhetor.domain.titles import title_of
from rhetor.hub.programs.now import turn_of_session
from rhetor.hub.state import State
from rhetor.hub.turns.answers import shown_state


async def described(state: State, sessions: Sequence[Session]) -> list[dict[str, Any]]:
    """Return the sessions without their messages, each with its title and its running turn."""
    last = await state.store.last_messages([session.id for session in sessions])
    return [await described_as(state, each, title_of(last.get(each.id, ""))) for each in sessions]


async def described_as(state: State, session: Session, title: str | None) -> dict[str, Any]:
    """Return a session that has this title, without its messages."""
    head = await state.store.head(session.id)
    return resources.session(
        session,
        shown_state(state, session),
        head.position if head else None,
        title=title,
        turn=turn_now(state, session.id),
    )


def turn_now(state: State, session_id: str) -> dict[str, Any] | None:
    """Return the turn that runs in the session, if one does."""
    turn = turn_of_session(state, session_id)
    if turn is None:
        return None
    return {
        "turn_id": turn.turn_id,
        "peer": turn.peer,
        "since": timestamp(turn.since),
        "state": turn.state,
        "doing": turn.doing,
    }
