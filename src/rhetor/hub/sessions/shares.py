"""Sharing a session with other callers, and taking a share back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.command import ShareSession, UnshareSession
from rhetor.domain.principal import READ, Principal, is_agent_subject
from rhetor.errors import NotFound, Unprocessable
from rhetor.hub.catalog.shares import KIND, SHAREABLE, Share, row_id
from rhetor.hub.core.checks import require_person

from .states import owned_session, readable_session

if TYPE_CHECKING:
    from rhetor.hub.state import State

MOST = 1000  # shares of one session


async def share(state: State, principal: Principal, command: ShareSession) -> Share:
    """Share the caller's session with another subject, or change what that subject may do in it.

    Raises:
        Forbidden: the caller is a peer's program, or does not have one of the scopes itself; or the session
            is only shared with the caller.
        NotFound: the caller has no such session.
        Unprocessable: a scope cannot be shared, or the subject is the caller's own or that of a program; or
            the session has too many shares.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    session = await owned_session(state, principal, command.session_id)
    wanted = {READ, *command.scopes}
    if unknown := sorted(wanted.difference(SHAREABLE)):
        raise Unprocessable(f"scopes: {unknown[0]} cannot be shared; use {', '.join(SHAREABLE)}")
    for scope in sorted(wanted):
        principal.require(scope)
    if command.subject == session.owner:
        raise Unprocessable("subject: the session is its own already")
    if is_agent_subject(command.subject):
        raise Unprocessable("subject: sessions cannot be shared with programs of peers")
    known = state.shares.of_session(session.id)
    if len(known) >= MOST and command.subject not in (each.subject for each in known):
        raise Unprocessable(f"a session may have at most {MOST} shares")
    scopes = tuple(scope for scope in SHAREABLE if scope in wanted)
    shared = Share(session.id, command.subject, scopes, state.ids.now())
    await state.background.complete(_put(state, shared), "share")
    return shared


async def _put(state: State, share: Share) -> None:
    await state.store.commit(share.session_id, [], rows=[share.row()])
    state.shares.put(share)
    state.presence.admit(share.session_id, share.subject)
    state.requests_changed.notify()


async def unshare(state: State, principal: Principal, command: UnshareSession) -> Share:
    """Take a share back. Streams of the session that are open for the subject end with NotFound. A caller
    may also give up a share of its own.

    Raises:
        NotFound: the caller has no such session, or it is not shared with the subject.
        Forbidden: the session is only shared with the caller.
        StoreRefused: the share still exists; the command may be sent again.
    """
    session = await readable_session(state, principal, command.session_id)
    if command.subject != principal.subject:
        session = await owned_session(state, principal, command.session_id)
    found = next((s for s in state.shares.of_session(session.id) if s.subject == command.subject), None)
    if found is None:
        raise NotFound(KIND, command.subject)
    await state.background.complete(_remove(state, found), "unshare")
    return found


async def _remove(state: State, share: Share) -> None:
    await state.store.commit(share.session_id, [], drop=[(KIND, row_id(share))])
    state.shares.remove(share.session_id, share.subject)
    state.presence.withdraw(share.session_id, share.subject)
    state.requests_changed.notify()


async def shares(state: State, principal: Principal, session_id: str) -> Sequence[Share]:
    """Return the shares of the caller's session, the oldest first.

    Raises:
        NotFound: the caller has no such session.
        Forbidden: the session is only shared with the caller.
    """
    session = await owned_session(state, principal, session_id)
    return state.shares.of_session(session.id)
