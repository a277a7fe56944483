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
from rhetor.hub.catalog.identities import grant_row, key_row, load_keys
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_person

if TYPE_CHECKING:
    from rhetor.hub.state import State

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
        await state.store.commit(HUB_STREAM, [], rows=[key_row(found)])
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
        old = await ensure_key(state)
        now = state.ids.now()
        ends = now + OVERLAP_SECONDS * 1000
        new, replaced = _new_key(state, old.issuer), replace(old, ends=ends)
        shorter = [
            replace(grant, expires=ends)
            for grant in state.identities.grants.values()
            if grant.kid == old.kid and grant.expires > ends
        ]
        gone = [key.kid for key in state.identities.keys.values() if key.ends is not None and key.ends <= now]
        rows = [key_row(new), key_row(replaced), *map(grant_row, shorter)]
        await state.store.commit(HUB_STREAM, [], rows=rows, drop=[(SIGNING_KEY, kid) for kid in gone])
        state.identities.keys |= {new.kid: new, replaced.kid: replaced}
        for kid in gone:
            del state.identities.keys[kid]
        state.identities.grants |= {grant.id: grant for grant in shorter}
    log.info("signing key replaced", extra={"kid": new.kid, "old": old.kid, "ended": len(shorter)})
    return Rotated(new.kid, ends, tuple(shorter))


def _new_key(state: State, issuer: str) -> SigningKey:
    return SigningKey(secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES), state.ids.now(), issuer)
