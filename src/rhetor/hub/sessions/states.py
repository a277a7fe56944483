"""Finds sessions, and changes their states."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.event import SessionStateChanged
from rhetor.domain.principal import Principal
from rhetor.domain.session import Session, SessionState
from rhetor.errors import NotFound, SessionOver, StateConflict, StoreRefused
from rhetor.hub.catalog.sessions import session_of, session_row, unchanged
from rhetor.hub.core.commits import until_unchanged
from rhetor.hub.programs.lifecycle import instance_key
from rhetor.store.base import Draft, Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


async def owned_session(state: State, principal: Principal, session_id: str) -> Session:
    """Return the caller's session with this id or name. If its `ttl` has passed, it is returned as expired,
    and its expiry is committed in the background: reading a session never waits for a write.

    Raises:
        NotFound: the caller has no such session.
    """
    row = await state.store.get("session", session_id)
    if row is None or row.owner != principal.subject:
        named = await state.store.find("session", owner=principal.subject, name=session_id)
        if not named:
            raise NotFound("session", session_id)
        row = named[0]
    session = session_of(row)
    if not _is_past_ttl(state, session):
        return session
    state.background.start(_expire(state, session), f"expire {session.id}")
    return session.become(SessionState.EXPIRED)


async def open_one(state: State, principal: Principal, session_id: str) -> Session:
    """Return the caller's session with this id or name, if it accepts messages.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """
    session = await owned_session(state, principal, session_id)
    if not session.takes_messages:
        raise SessionOver(session.id, session.state)
    return session


async def change(state: State, principal: Principal, session_id: str, wanted: SessionState) -> Session:
    """Change the state of the caller's session, if it accepts messages.

    Raises:
        NotFound: the caller has no such session.
        SessionOver: the session was stopped or has expired.
    """

    async def attempt() -> Session:
        return await become(state, await open_one(state, principal, session_id), wanted)

    return await until_unchanged(attempt)


async def become(
    state: State,
    session: Session,
    wanted: SessionState,
    drafts: Sequence[Draft] = (),
    rows: Sequence[Row] = (),
    expects: Sequence[Expect] = (),
) -> Session:
    """Commit a change of the state with what it causes, and end the program of a session that has ended.

    Raises:
        StateConflict: the session was changed since it was read, or one of `expects` does not hold.
    """
    if session.state is wanted:
        return session
    changed = session.become(wanted)
    await state.store.commit(
        session.id,
        [*drafts, Draft(SessionStateChanged(wanted))],
        expects=[unchanged(session), *expects],
        rows=[*rows, session_row(changed)],
    )
    if not changed.takes_messages:
        _end_program(state, changed)
    return changed


async def expire_old(state: State) -> int:
    """Expire the sessions that have not been used for their `ttl`, and return how many expired.

    If a session cannot be expired now, the failure is logged, and the next sweep retries.
    """
    expired = 0
    for row in await state.store.find("session", state=SessionState.ACTIVE, limit=10_000):
        session = session_of(row)
        if _is_past_ttl(state, session):
            expired += await _expire(state, session)
    return expired


def _is_past_ttl(state: State, session: Session) -> bool:
    return session.has_expired(state.ids.since) and session.id not in state.runners


async def _expire(state: State, session: Session) -> bool:
    """Commit the expiry of the session, unless it has been used since it was read. Return whether it was
    committed."""
    try:
        await become(state, session, SessionState.EXPIRED)
    except (StateConflict, StoreRefused) as error:
        log.warning("session expiry failed", extra={"session": session.id, "reason": error.detail})
        return False
    return True


def _end_program(state: State, session: Session) -> None:
    """End the program that runs only for this session, if there is one."""
    for instance in list(state.instances.values()):
        peer = instance.peer
        if instance.entry.key == instance_key(state, peer, session.id) != peer.name:
            state.background.start(instance.running.end(force=True), f"end {peer.name}")
