"""Finds sessions, and changes their states."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.event import SessionStateChanged
from rhetor.domain.principal import READ, SEND, Principal
from rhetor.domain.session import Session, SessionState
from rhetor.errors import Forbidden, NotFound, SessionOver, StateConflict, StoreRefused, StreamElsewhere
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
        Forbidden: the session is another owner's, who shares it with the caller.
    """
    return await _session(state, principal, session_id, None)


async def readable_session(state: State, principal: Principal, session_id: str) -> Session:
    """Do the same as `owned_session`, also for a session that is shared with the caller.

    Raises:
        NotFound: the caller has no such session.
    """
    return await _session(state, principal, session_id, READ)


async def sendable_session(state: State, principal: Principal, session_id: str) -> Session:
    """Do the same as `owned_session`, also for a session that is shared with the caller for messages.

    Raises:
        NotFound: the caller has no such session.
        Forbidden: the session is shared with the caller, but not for messages.
    """
    return await _session(state, principal, session_id, SEND)


async def _session(state: State, principal: Principal, session_id: str, scope: str | None) -> Session:
    """Return the caller's session, or one that is shared with the caller for what needs `scope`, if there is
    one."""
    row = await state.store.get("session", session_id)
    if row is None or row.owner != principal.subject:
        row = await _of_another(state, principal, row, session_id, scope)
    session = session_of(row)
    if not _is_past_ttl(state, session):
        return session
    state.background.start(_expire(state, session), f"expire {session.id}")
    return session.become(SessionState.EXPIRED)


async def _of_another(
    state: State, principal: Principal, row: Row | None, session_id: str, scope: str | None
) -> Row:
    """Return the row of the caller's session with this name, or of the session with this id (`row`) if it is
    shared with the caller."""
    if row is not None and state.shares.allows(row.id, principal.subject, READ):
        if scope is None:
            raise Forbidden("only the owner of the session may do this", session_id=row.id)
        if not state.shares.allows(row.id, principal.subject, scope):
            raise Forbidden.not_shared(row.id, scope)
        return row
    named = await state.store.find("session", owner=principal.subject, name=session_id)
    if not named:
        raise NotFound("session", session_id)
    return named[0]


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
    """Expire the sessions of this node that have not been used for their `ttl`, and return how many expired.

    If a session cannot be expired now, the failure is logged, and the next sweep retries.
    """
    expired = 0
    for row in await state.store.find("session", state=SessionState.ACTIVE, limit=10_000):
        session = session_of(row)
        if _is_past_ttl(state, session) and await state.owns(session.id):
            expired += await _expire(state, session)
    return expired


def _is_past_ttl(state: State, session: Session) -> bool:
    return session.has_expired(state.ids.since) and session.id not in state.runners


async def _expire(state: State, session: Session) -> bool:
    """Commit the expiry of the session, unless it has been used since it was read. Return whether it was
    committed."""
    try:
        await become(state, session, SessionState.EXPIRED)
    except StreamElsewhere:  # its node does it
        return False
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
