"""Leases: sessions with a `detach_ttl` are stopped when no client has been connected for so many seconds.

If a turn is running at that time, it finishes first. If a client reconnects in time, the session continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rhetor.domain.command import StopSession
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.errors import NotFound, StateConflict, StoreRefused
from rhetor.hub.catalog.sessions import session_of

from .sessions import stop

if TYPE_CHECKING:
    from rhetor.hub.state import State

OPEN = (SessionState.ACTIVE, SessionState.PAUSED)


@contextmanager
def lease(state: State, session: Session) -> Iterator[None]:
    """Keep the session open while a client is connected. After its last lease ends, the session is stopped if
    no client connects within `detach_ttl` seconds; a session without `detach_ttl` is not affected."""
    if session.detach_ttl is None:
        yield
        return
    with state.leases.hold(session.id, session.detach_ttl, lambda: _left(state, session)):
        yield


async def expect_clients(state: State) -> None:
    """Give the clients of each open session its `detach_ttl` to reconnect after a restart of the hub."""
    for open_state in OPEN:
        for row in await state.store.find("session", state=open_state, limit=100_000):
            _expect(state, session_of(row))


def _expect(state: State, session: Session) -> None:
    if session.detach_ttl is not None:
        state.leases.expect(session.id, session.detach_ttl, lambda: _left(state, session))


def _left(state: State, session: Session) -> None:
    state.background.start(_stop(state, session), f"lease {session.id}")


async def _stop(state: State, session: Session) -> None:
    while _is_running(state, session.id):
        changed = state.notifier.next()
        if not _is_running(state, session.id):
            break
        await changed.wait()
    if state.closing or session.id in state.leases:
        return
    with suppress(NotFound, StateConflict):  # another command ended or changed the session meanwhile
        try:
            await stop(state, Principal(session.owner), StopSession(session.id))
        except StoreRefused:  # try again after another `detach_ttl`
            _expect(state, session)


def _is_running(state: State, session_id: str) -> bool:
    """Whether a turn is running. A turn that waits for an answer does not count: it needs a client to end."""
    runner = state.runners.get(session_id)
    return (
        runner is not None and runner.current is not None and runner.current.turn.state is TurnState.RUNNING
    )
