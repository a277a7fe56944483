"""Logins of browsers: they survive a restart of the hub, and can be listed and ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rhetor.domain.identity import COOKIE, HUB, JWT, LOGIN, OIDC, Login
from rhetor.domain.principal import ADMIN, Principal
from rhetor.errors import NotFound, Unauthenticated
from rhetor.hub.catalog.identities import login_row
from rhetor.hub.catalog.programs import HUB_STREAM

if TYPE_CHECKING:
    from rhetor.hub.state import State

LOCK = "logins"
MOST_OF_SUBJECT = 256
log = logging.getLogger(__name__)


async def log_in(state: State, login: Login) -> None:
    """Make a login valid, also for later hubs, unless only this process knows what it ends with. If its
    subject has too many, the oldest one ends.

    Raises:
        StoreRefused: nothing was changed.
    """
    async with state.exclusively(LOCK):
        drop = _outdated(state, login.subject)
        rows = [login_row(login)] if login.parent else []
        await state.store.commit(HUB_STREAM, [], rows=rows, drop=[(LOGIN, each.digest) for each in drop])
        _forget(state, drop)
        state.identities.logins[login.digest] = login
    log.info("browser logged in", extra={"login": login.id, "subject": login.subject})


def parent_of(state: State, principal: Principal) -> str:
    """Return what a login ends with that a caller requests, as in `Login.parent`.

    Raises:
        Unauthenticated: the caller's token has ended meanwhile.
    """
    named = principal.credential.removeprefix(COOKIE)
    if named.startswith(f"{OIDC} "):
        return ""  # only the issuer knows
    grant = state.identities.of(principal.credential)
    if grant is None and named.startswith(f"{JWT} "):
        raise Unauthenticated("the token has ended; get a new one")
    return grant.id if grant is not None else HUB + state.identities.hub_token()


def logins_of(state: State, principal: Principal) -> list[Login]:
    """Return the valid logins of a caller, or of all callers if it has the scope admin, the oldest first."""
    now, known = state.ids.now(), state.identities
    return [
        login
        for login in known.logins.values()
        if login.expires > now and known.is_backed(login, now) and _may_end(principal, login)
    ]


async def end(state: State, principal: Principal, id: str) -> Login:
    """End a login, and those whose codes its page has requested. Open connections end within 5 seconds.

    Raises:
        NotFound: the caller has no such login.
        StoreRefused: nothing was changed.
    """
    async with state.exclusively(LOCK):
        found = next((each for each in logins_of(state, principal) if each.id == id), None)
        if found is None:
            raise NotFound("login", id)
        await _end(state, _with_requested(state, [found]))
    return found


async def end_others(state: State, principal: Principal, current: Login | None) -> int:
    """End all logins of the caller's subject but the current one; return how many.

    Raises:
        StoreRefused: nothing was changed.
    """
    async with state.exclusively(LOCK):
        found = [
            each
            for each in state.identities.logins.values()
            if each.subject == principal.subject and each != current
        ]
        await _end(state, found)
    return len(found)


async def log_out(state: State, login: Login) -> None:
    """End one login, and no other.

    Raises:
        StoreRefused: nothing was changed.
    """
    async with state.exclusively(LOCK):
        await _end(state, [login])


def _may_end(principal: Principal, login: Login) -> bool:
    return login.subject == principal.subject or principal.has(ADMIN)


def _with_requested(state: State, logins: Iterable[Login]) -> list[Login]:
    found = {login.id: login for login in logins}
    known = state.identities.logins.values()
    while more := {each.id: each for each in known if each.by in found and each.id not in found}:
        found |= more
    return list(found.values())


def _outdated(state: State, subject: str) -> list[Login]:
    """Return the logins that are no longer valid, and the oldest ones of a subject that has too many."""
    now, known = state.ids.now(), state.identities
    ended = [each for each in known.logins.values() if each.expires <= now or not known.is_backed(each, now)]
    own = [each for each in known.logins.values() if each.subject == subject and each not in ended]
    return ended + own[: max(0, len(own) + 1 - MOST_OF_SUBJECT)]


async def _end(state: State, logins: list[Login]) -> None:
    await state.store.commit(HUB_STREAM, [], drop=[(LOGIN, login.digest) for login in logins])
    _forget(state, logins)
    for login in logins:
        log.info("login ended", extra={"login": login.id, "subject": login.subject})


def _forget(state: State, logins: Iterable[Login]) -> None:
    for login in logins:
        state.identities.logins.pop(login.digest, None)
