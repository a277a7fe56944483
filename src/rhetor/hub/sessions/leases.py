"""Sessions that somebody has to attend to: what becomes of one that was left alone.

Its running turn finishes; then, when its time is over and nobody has come back, it is stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rhetor.domain.command import Principal, StopSession
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.errors import NotFound, StateConflict, StoreRefused
from rhetor.hub.catalog.sessions import session_of

from .sessions import stop

if TYPE_CHECKING:
    from rhetor.hub.state import State

LIVING = (SessionState.ACTIVE, SessionState.PAUSED)


@contextmanager
def lease(state: State, session: Session) -> Iterator[None]:
    """For as long as a client attends to the session; it matters only for one that is to be attended to."""
    if session.detach_ttl is None:
        yield
        return
    with state.leases.hold(session.id, session.detach_ttl, lambda: _left(state, session)):
        yield


async def expect_clients(state: State) -> None:
    """Sessions of an earlier hub: their clients have as long as after any other break to come back."""
    for living in LIVING:
        for row in await state.store.find("session", state=living, limit=100_000):
            _expect(state, session_of(row))


def _expect(state: State, session: Session) -> None:
    if session.detach_ttl is not None:
        state.leases.expect(session.id, session.detach_ttl, lambda: _left(state, session))


def _left(state: State, session: Session) -> None:
    state.background.start(_stop(state, session), f"lease {session.id}")


async def _stop(state: State, session: Session) -> None:
    while _is_speaking(state, session.id):
        heard = state.notifier.next()
        if not _is_speaking(state, session.id):
            break
        await heard.wait()
    if state.closing or session.id in state.leases:
        return
    with suppress(NotFound, StateConflict):  # somebody ended it, or came back, at this moment
        try:
            await stop(state, Principal(session.owner), StopSession(session.id))
        except StoreRefused:  # later, then
            _expect(state, session)


def _is_speaking(state: State, session_id: str) -> bool:
    """Whether a turn runs that can come to its end without anybody."""
    runner = state.runners.get(session_id)
    return (
        runner is not None and runner.current is not None and runner.current.turn.state is TurnState.RUNNING
    )
