"""One-time codes of a hub with several nodes: each node accepts the codes of all, once. A hub on its own has
them in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.identity import LoginCode
from rhetor.errors import StateConflict
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.store.base import Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = "login_code"
VALID = "valid"
MOST = 10_000  # of all subjects


async def keep(state: State, digest: str, code: LoginCode, most: int) -> None:
    """Store a code, by its digest. If its subject has more than `most`, the oldest one becomes invalid. Codes
    that have expired are removed.

    Raises:
        StoreRefused: nothing was changed.
    """
    now, known = state.ids.now(), await state.store.find(KIND, limit=MOST)
    expired = [row for row in known if row.at <= now]
    own = sorted((row for row in known if row.owner == code.subject and row.at > now), key=lambda row: row.at)
    excess = own[: max(0, len(own) + 1 - most)]
    drop = [(KIND, row.id) for row in (*expired, *excess)]
    doc = msgspec.json.encode(code)
    row = Row(KIND, digest, VALID, doc, owner=code.subject, at=code.expires)
    await state.store.commit(HUB_STREAM, [], rows=[row], drop=drop)


async def find(state: State, digest: str) -> LoginCode | None:
    """Return what a code gives, which stays valid; None if it was used, has expired, is unknown, or if what
    it was requested with has ended."""
    row = await state.store.get(KIND, digest)
    if row is None:
        return None
    code, now = msgspec.json.decode(row.doc, type=LoginCode), state.ids.now()
    logins = state.identities.logins.values()
    has_page = not code.by or any(login.id == code.by for login in logins)
    return code if code.expires > now and has_page and state.identities.backs(code.parent, now) else None


async def use(state: State, digest: str) -> bool:
    """Make a code invalid. Return False if somebody else did so first.

    Raises:
        StoreRefused: nothing was changed.
    """
    row = await state.store.get(KIND, digest)
    if row is None:
        return False
    try:
        await state.store.commit(HUB_STREAM, [], drop=[(KIND, digest)], expects=[row.unchanged])
    except StateConflict:
        return False
    return True
