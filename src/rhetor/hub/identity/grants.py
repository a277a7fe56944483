"""Grants: issuing and revoking tokens."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from rhetor.domain.identity import (
    ACCESS_SECONDS,
    COOKIE,
    GRANT,
    HUB,
    ISSUED_SECONDS,
    JWT,
    MOST_SECONDS,
    OIDC,
    REFRESH_SECONDS,
    Grant,
    digest_of,
)
from rhetor.domain.machine import is_machine_name
from rhetor.domain.principal import ADMIN, APPROVE, NODE, READ, SEND, Principal
from rhetor.domain.token_commands import IssueToken, RevokeToken
from rhetor.errors import Forbidden, NameTaken, NotFound, TooManyTokens, Unauthenticated, Unprocessable
from rhetor.hub.catalog.identities import (
    MAX_ROWS,
    REFRESH_TOKEN,
    grant_row,
    refresh_row,
    retired_row,
)
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import NAME, require_person
from rhetor.hub.core.commits import commit_until_accepted

from .signing_keys import LOCK, ensure_key

if TYPE_CHECKING:
    from rhetor.hub.state import State

SCOPES = (READ, SEND, APPROVE, ADMIN, NODE)
MOST_GRANTS = 10_000
MOST_OF_CALLER = 1_000  # that it gets for itself, so that it leaves some for others
TOKEN = "token"
REFRESH_BYTES = 32
log = logging.getLogger(__name__)


class Issued(Struct, frozen=True):
    """A grant, and its refresh token, which is stored only as a digest; empty if it has none."""

    grant: Grant
    refresh_token: str = ""


async def issue(state: State, principal: Principal, command: IssueToken) -> Issued:
    """Grant scopes to a subject. When this returns, tokens of the grant are valid, also in later hubs.

    Raises:
        Forbidden: the caller is a peer's program, or lacks a scope; for another subject, a name, or a life of
            more than 10 minutes, the caller needs the scope admin.
        Unprocessable: a scope, the subject, the name or the time is invalid.
        NameTaken: a valid token has the name.
        TooManyTokens: too many grants are valid, in all or of a caller without the scope admin.
        Unauthenticated: the caller's own token has ended meanwhile.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    _require_own_credential(principal)
    scopes = _scopes(principal, command.scopes)
    seconds = _seconds(principal, command)
    subject = command.subject or (command.name if command.name else principal.subject)
    if subject != principal.subject or command.name is not None:
        principal.require(ADMIN)
        if command.name is not None:
            _require_text(command.name, "name")
        _require_text(subject, "subject")
    if scopes == (NODE,) and not is_machine_name(subject):
        detail = f"{subject[:100]!r} cannot name a machine; use letters, digits, `_`, `.` and `-`"
        raise Unprocessable(detail, error="invalid_request")
    async with state.exclusively(LOCK):
        await sweep(state)
        _require_free(state, command.name, principal)
        key, now = await ensure_key(state), state.ids.now()
        life = seconds if command.name is not None else REFRESH_SECONDS
        parent = _parent(state, principal)
        expires = now + life * 1000
        if parent is not None:
            expires = min(expires, parent.expires)
        grant = Grant(
            state.ids.new("g"),
            subject,
            scopes,
            now,
            expires,
            seconds,
            command.name,
            key.kid if command.name is not None else "",
            _origin(state, principal, parent),
        )
        issued = Issued(grant, "" if command.name is not None else new_refresh_token())
        rows = [grant_row(grant)]
        if issued.refresh_token:
            rows.append(refresh_row(digest_of(issued.refresh_token), grant, now))
        await state.store.commit(HUB_STREAM, [], rows=rows)
        state.identities.grants[grant.id] = grant
    log.info("token issued", extra={"grant": grant.label, "subject": subject, "scopes": " ".join(scopes)})
    return issued


async def revoke(state: State, principal: Principal, command: RevokeToken) -> Grant:
    """Revoke the tokens of a grant by its name or id.

    Raises:
        Forbidden: the caller is a peer's program, or lacks the scope admin.
        NotFound: no valid grant has the name.
        StoreRefused: nothing was changed; the command may be sent again.
    """
    require_person(principal)
    principal.require(ADMIN)
    async with state.exclusively(LOCK):
        await sweep(state)
        found = next((each for each in state.identities.grants.values() if each.label == command.name), None)
        if found is None:
            raise NotFound(TOKEN, command.name)
        await end(state, [found])
    return found


async def revoke_grant(state: State, grant: Grant) -> None:
    """Revoke the tokens of a grant, and of those that were requested with them.

    Raises:
        StoreRefused: nothing was changed.
    """
    async with state.exclusively(LOCK):
        await end(state, [grant])


async def end(state: State, grants: Sequence[Grant]) -> None:
    """Remove grants, those that were requested with their tokens, and all their refresh tokens. The caller
    holds `LOCK`. Open connections end within 5 seconds."""
    ending = {grant.id: grant for grant in grants}
    known = state.identities.grants
    while more := {g.id: g for g in known.values() if g.parent in ending and g.id not in ending}:
        ending |= more
    drop = [(GRANT, id) for id in ending]
    for id in ending:
        found = await state.store.find(REFRESH_TOKEN, parent=id, limit=MAX_ROWS)
        drop += [(REFRESH_TOKEN, row.id) for row in found]
    await state.store.commit(HUB_STREAM, [], drop=drop)
    for id, grant in ending.items():
        if known.pop(id, None) is not None:
            log.info("token ended", extra={"grant": grant.label, "subject": grant.subject})


async def sweep(state: State) -> None:
    """Remove the grants that have expired, or whose token of the hub was replaced. The caller holds
    `LOCK`."""
    now, known = state.ids.now(), state.identities
    if ended := [each for each in known.grants.values() if each.expires <= now or known.is_orphan(each)]:
        await end(state, ended)


def credential_of(state: State, principal: Principal) -> str:
    """Return the credential with which the caller's rights end, as in `Grant.parent`; empty if they do not.

    Raises:
        Forbidden: only the caller's own issuer knows when they end.
        Unauthenticated: the caller's token has ended meanwhile.
    """
    _require_own_credential(principal)
    return _origin(state, principal, _parent(state, principal))


def is_in_force(state: State, credential: str) -> bool:
    """Return whether a credential that `credential_of` returned is still valid."""
    if credential.startswith(HUB):
        return credential == HUB + state.identities.hub_token()
    grant = state.identities.grants.get(credential)
    return not credential or (
        grant is not None and state.identities.holds(credential) and grant.expires > state.ids.now()
    )


def retire_hub_token(state: State, digest: str) -> None:
    """Let no node accept a token of the hub any more that was replaced here."""
    row = retired_row(digest, state.ids.now())
    state.identities.retired.add(digest)
    storing = commit_until_accepted(state.store, HUB_STREAM, [], [row])
    state.background.start(storing, "replaced token")


def new_refresh_token() -> str:
    return f"rr_{secrets.token_urlsafe(REFRESH_BYTES)}"


def _parent(state: State, principal: Principal) -> Grant | None:
    """Return the grant of the caller's token; None if the caller has no token that the hub has issued.

    Raises:
        Unauthenticated: its token was admitted, and has ended since, or is valid only because clocks differ.
    """
    parent = state.identities.of(principal.credential)
    if parent is None and principal.credential.removeprefix(COOKIE).startswith(f"{JWT} "):
        raise Unauthenticated("the token has ended; get a new one")
    return parent


def _origin(state: State, principal: Principal, parent: Grant | None) -> str:
    """Return with what a grant ends: the grant or the hub's token with which it is requested."""
    if parent is not None:
        return parent.id
    return "" if principal.local else HUB + state.identities.hub_token()


def _scopes(principal: Principal, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    if wanted is None:
        return tuple(sorted(principal.scopes))
    if not wanted:
        raise Unprocessable(f"scopes: name at least one of {', '.join(SCOPES)}", error="invalid_scope")
    for scope in wanted:
        if scope not in SCOPES:
            detail = f"unknown scope {scope[:100]!r}; the scopes are {', '.join(SCOPES)}"
            raise Unprocessable(detail, error="invalid_scope")
    if NODE in wanted:  # of a machine, which may do nothing else
        if set(wanted) != {NODE}:
            raise Unprocessable("the scope node cannot be combined with others", error="invalid_scope")
        principal.require(ADMIN)
        return (NODE,)
    for scope in wanted:
        if not principal.has(scope):
            raise Forbidden.without(scope)
    return tuple(sorted(set(wanted)))


def _seconds(principal: Principal, command: IssueToken) -> int:
    usual = ISSUED_SECONDS if command.name is not None else ACCESS_SECONDS
    seconds = usual if command.seconds is None else command.seconds
    if not 1 <= seconds <= MOST_SECONDS:
        raise Unprocessable(f"ttl: must be 1 to {MOST_SECONDS} seconds", error="invalid_request")
    if seconds > ACCESS_SECONDS:
        principal.require(ADMIN)
    return seconds


def _require_own_credential(principal: Principal) -> None:
    """Reject callers of a team's own issuer: the hub's tokens would outlive what the issuer decides."""
    if principal.credential.removeprefix(COOKIE).startswith(f"{OIDC} ") and not principal.has(ADMIN):
        raise Forbidden("get tokens from your issuer; the hub issues none for its callers")


def _require_text(text: str, what: str) -> None:
    if not NAME.fullmatch(text):
        rule = "use a letter, then up to 63 letters, digits, `_`, `.` or `-`"
        raise Unprocessable(f"{what}: invalid value {text[:100]!r}; {rule}", error="invalid_request")


def _require_free(state: State, name: str | None, principal: Principal) -> None:
    known = state.identities.grants.values()
    if name is not None and any(grant.label == name for grant in known):
        raise NameTaken(TOKEN, name)
    if len(known) >= MOST_GRANTS:
        raise TooManyTokens(MOST_GRANTS)
    if principal.has(ADMIN) or len(known) < MOST_OF_CALLER:
        return
    if sum(grant.subject == principal.subject for grant in known) >= MOST_OF_CALLER:
        raise TooManyTokens(MOST_OF_CALLER)
