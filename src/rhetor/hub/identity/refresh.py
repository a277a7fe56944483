"""Refresh tokens: each is used once, and gives a new one. A used one that is sent again was stolen, by its
sender or by the client that used it first, so all tokens of the grant are revoked."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.identity import GRANT, REFRESH_SECONDS, Grant, digest_of
from rhetor.errors import InvalidGrant, StateConflict
from rhetor.hub.catalog.identities import REFRESH_TOKEN, USED, grant_row, refresh_row
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.store.base import Expect

from .grants import Issued, end, new_refresh_token
from .signing_keys import LOCK

if TYPE_CHECKING:
    from rhetor.hub.state import State

INVALID = "the refresh token is invalid or has expired; log in again"
TAKEN = "another request has just used the refresh token; use the tokens that it got"
REUSED = "the refresh token was used before, so all its tokens were revoked; log in again"
SAME_TIME_SECONDS = 0.02
log = logging.getLogger(__name__)


class Refreshes:
    """The refresh tokens that requests are using now, by digest. Of concurrent requests with the same token,
    one gets the new tokens, and the others are not taken for theft."""

    def __init__(self) -> None:
        self._using: Counter[str] = Counter()

    async def refresh(self, state: State, token: str) -> Issued:
        """Use a refresh token, and return the new one.

        Raises:
            InvalidGrant: the token is invalid, or was used before.
            StoreRefused, ShuttingDown: nothing was changed; the token may be used again.
        """
        state.require_open()
        digest, arrived = digest_of(token), state.ids.now()
        is_alone = not self._using[digest]
        self._using[digest] += 1
        try:
            await asyncio.sleep(SAME_TIME_SECONDS)  # requests sent at the same time arrive before one is done
            async with state.exclusively(LOCK):
                return await _refreshed(state, digest, arrived, is_alone)
        finally:
            self._using[digest] -= 1
            if not self._using[digest]:
                del self._using[digest]


async def grant_of(state: State, token: str) -> Grant | None:
    """Return the grant of a refresh token, used or not; None if there is none."""
    row = await state.store.get(REFRESH_TOKEN, digest_of(token))
    return state.identities.grants.get(row.parent) if row is not None else None


async def _refreshed(state: State, digest: str, arrived: int, is_alone: bool) -> Issued:
    row = await state.store.get(REFRESH_TOKEN, digest)
    if row is not None and row.parent not in state.identities.grants:
        await state.mirrors.fetch([(GRANT, row.parent)])  # another node may have issued it a moment ago
    grant = state.identities.grants.get(row.parent) if row is not None else None
    now = state.ids.now()
    if row is None or grant is None or grant.expires <= now or state.identities.is_orphan(grant):
        raise InvalidGrant(INVALID)
    if row.state == USED:
        if not is_alone or row.at >= arrived:
            raise InvalidGrant(TAKEN)
        log.warning("refresh token reused", extra={"grant": grant.label, "subject": grant.subject})
        await end(state, [grant])
        raise InvalidGrant(REUSED)
    extended = _extended(state, grant, now)
    if extended.expires <= now:  # the token with which it was requested has expired
        raise InvalidGrant(INVALID)
    issued = Issued(extended, new_refresh_token())
    new = refresh_row(digest_of(issued.refresh_token), grant, now)
    try:
        await state.store.commit(
            HUB_STREAM,
            [],
            expects=[row.unchanged, Expect(GRANT, grant.id)],
            rows=[replace(row, state=USED, at=now), new, grant_row(issued.grant)],
            drop=await _old(state, grant, now),
        )
    except StateConflict:
        raise InvalidGrant(TAKEN) from None
    state.identities.grants[grant.id] = issued.grant
    return issued


def _extended(state: State, grant: Grant, now: int) -> Grant:
    """Return the grant with a new time to expire, which is never later than that of its parent."""
    expires = max(grant.expires, now + REFRESH_SECONDS * 1000)
    parent = state.identities.grants.get(grant.parent)
    return replace(grant, expires=expires if parent is None else min(expires, parent.expires))


async def _old(state: State, grant: Grant, now: int) -> list[tuple[str, str]]:
    """Return used refresh tokens that would have expired by now: up to two, because each use adds one."""
    oldest = await state.store.find(REFRESH_TOKEN, state=USED, parent=grant.id, limit=2)
    return [(REFRESH_TOKEN, row.id) for row in oldest if row.at <= now - REFRESH_SECONDS * 1000]
