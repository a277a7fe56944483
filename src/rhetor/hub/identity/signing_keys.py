"""The keys that sign tokens: the first is made with the first token, and a person replaces it."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from rhetor.domain.identity import OVERLAP_SECONDS, SIGNING_KEY, Grant, SigningKey
from rhetor.domain.principal import Principal
from rhetor.domain.token_commands import RotateSigningKey
from rhetor.errors import StateConflict
from rhetor.hub.catalog.identities import grant_row, key_of, key_row, load_keys, read_keys
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_person
from rhetor.hub.core.commits import until_unchanged
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

FIRST = "signing_key_made", "hub"  # the kind and id of a row, so that only one node makes the first key
LOCK = "tokens"  # held while tokens or keys are changed
SECRET_BYTES = 32
log = logging.getLogger(__name__)


class Rotated(Struct, frozen=True):
    """A new key signs tokens. `ends`: when the old one no longer verifies any, Unix time in milliseconds.
    `ended`: the grants with a token of their own that would have been valid longer."""

    kid: str
    ends: int
    ended: tuple[Grant, ...]


async def ensure_key(state: State) -> SigningKey:
    """Return the key that signs new tokens, which is made if there is none. The caller holds `LOCK`.

    Raises:
        StoreRefused: it cannot be stored.
    """
    await load_keys(state.identities, state.store)
    found = state.identities.signing
    if found is None:
        found = _new_key(state, f"rhetor:{secrets.token_hex(8)}")
        made = Row(*FIRST, "made", b"{}", at=found.at)
        try:
            await state.store.commit(HUB_STREAM, [], rows=[key_row(found), made], expects=[made.unchanged])
        except StateConflict:  # another node has made it
            await read_keys(state.identities, state.store)
            return await ensure_key(state)
        state.identities.keys[found.kid] = found
    return found


async def rotate(state: State, principal: Principal, command: RotateSigningKey) -> Rotated:
    """Sign new tokens with a new key. The old one verifies tokens for 10.5 minutes more, in which clients
    refresh theirs.

    Raises:
        Forbidden: the caller is a peer's program.
        StoreRefused, ShuttingDown: nothing was changed; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    async with state.exclusively(LOCK):
        rotated = await until_unchanged(lambda: _rotated(state))
    log.info("signing key replaced", extra={"kid": rotated.kid, "ended": len(rotated.ended)})
    return rotated


async def _rotated(state: State) -> Rotated:
    known = state.identities
    old, unchanged = await _stored(state)
    now = state.ids.now()
    ends = now + OVERLAP_SECONDS * 1000
    new, replaced = _new_key(state, old.issuer), replace(old, ends=ends)
    shorter = [
        replace(grant, expires=ends)
        for grant in known.grants.values()
        if grant.kid == old.kid and grant.expires > ends
    ]
    gone = [key.kid for key in known.keys.values() if key.ends is not None and key.ends <= now]
    rows = [key_row(new), key_row(replaced), *map(grant_row, shorter)]
    drop = [(SIGNING_KEY, kid) for kid in gone]
    await state.store.commit(HUB_STREAM, [], expects=[unchanged], rows=rows, drop=drop)
    known.keys |= {new.kid: new, replaced.kid: replaced}
    for kid in gone:
        known.keys.pop(kid, None)
    known.grants |= {grant.id: grant for grant in shorter}
    return Rotated(new.kid, ends, tuple(shorter))


async def _stored(state: State) -> tuple[SigningKey, Expect]:
    """Return the key that signs new tokens as it is stored, and the condition that no other node has replaced
    it."""
    while True:
        key = await ensure_key(state)
        row = await state.store.get(SIGNING_KEY, key.kid)
        if row is not None and key_of(row).ends is None:
            return key, row.unchanged
        await read_keys(state.identities, state.store)


def _new_key(state: State, issuer: str) -> SigningKey:
    return SigningKey(secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES), state.ids.now(), issuer)
