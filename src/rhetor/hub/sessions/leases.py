"""Leases: sessions with a `detach_ttl` are stopped when no client has been connected for so many seconds.

If a turn is running at that time, it finishes first. If a client reconnects in time, the session continues.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rhetor.domain.command import StopSession
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session, SessionState
from rhetor.domain.turn import TurnState
from rhetor.errors import NotFound, StateConflict, StoreRefused
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.fanout.presence import SETTLE_SECONDS

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
        state.live.board_changed.notify()
        yield


class Holds:
    """The sessions of this node that clients of other nodes keep open, as pairs of a node and a session."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._held: Set[tuple[str, str]] = frozenset()

    def set(self, held: Set[tuple[str, str]], departed: Collection[str]) -> None:
        """Count these as holders, and no others of other nodes any more. `departed`: the sessions that the
        last client of a node has left for longer than their `detach_ttl`."""
        came, left = held - self._held, self._held - held
        self._held = held
        for _, id in came:
            self._state.leases.enter(id)
        ended = [id for _, id in left]
        for id in {*ended, *departed}:
            work = self._leave(id, ended.count(id), has_departed=id in departed)
            self._state.background.start(work, f"lease {id}")

    async def _leave(self, id: str, count: int, *, has_departed: bool) -> None:
        state = self._state
        row = await until_accepted(lambda: state.store.get("session", id), id)
        session = session_of(row) if row is not None else None
        ttl = session.detach_ttl if session is not None else None

        def left() -> None:
            if session is not None and ttl is not None:
                _left(state, session)

        for _ in range(count):
            state.leases.leave(id, SETTLE_SECONDS if has_departed else ttl or 0.0, left)
        if has_departed:  # also those who came and left before this node knew of them
            state.leases.expect_soon(id, left)


async def expect_clients(state: State, streams: Collection[str] | None = None) -> None:
    """Give the clients of each open session of this node its `detach_ttl` to reconnect after a restart.
    `streams`: only of these, which were another node's."""
    for open_state in OPEN:
        for row in await state.store.find("session", state=open_state, limit=100_000):
            session = session_of(row)
            if streams is not None and session.id not in streams:
                continue
            if session.detach_ttl is not None and await state.owns(session.id):
                _expect(state, session)


def _expect(state: State, session: Session) -> None:
    if session.detach_ttl is not None:
        state.leases.expect(session.id, session.detach_ttl, lambda: _left(state, session))


def _left(state: State, session: Session) -> None:
    state.background.start(_stop(state, session), f"lease {session.id}")


async def _stop(state: State, session: Session) -> None:
    if not await until_accepted(lambda: state.owns(session.id), session.id):
        state.boards.note_dropped(session.id)  # its owner knows of the clients at all nodes
        return
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
