"""Tokens of a team's own OIDC issuers. What they allow is limited by the issuer's entry in the
configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from rhetor.domain.identity import LEEWAY_SECONDS, MOST_SECONDS
from rhetor.domain.principal import ALL
from rhetor.errors import LoginExpired, RhetorError, Unauthenticated

from . import signed
from .access_tokens import EXPIRED, INVALID, elapsed_seconds
from .issuer_keys import Fetch, IssuerEntry, IssuerKeys

TYPES = (None, "JWT", "at+jwt", "application/at+jwt")
REFUSED = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "cty"})
MOST_SUBJECT = 255


class Identified(Struct, frozen=True):
    """A verified token of an issuer. `kid`: the id of its key. `ends`: when it expires, in seconds of a clock
    that cannot be set."""

    entry: IssuerEntry
    kid: str
    subject: str
    scopes: frozenset[str]
    ends: float


class Issuers:
    """The configured issuers. `clock`: Unix time in seconds; `elapsed`: seconds of a clock that cannot be
    set."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._elapsed = elapsed
        self._entries: dict[str, tuple[IssuerEntry, IssuerKeys]] = {}

    def configure(self, entries: Sequence[IssuerEntry]) -> None:
        """Replace the issuers. The keys of those that stay the same are kept."""
        old = dict(self._entries.values())
        self._entries = {
            entry.issuer: (entry, old.get(entry) or IssuerKeys(entry, self._fetch, self._elapsed))
            for entry in entries
        }

    async def verify(self, token: str) -> Identified:
        """Return what a token that `signed.is_signed` stands for.

        Raises:
            Unauthenticated: it is not a token of a configured issuer.
            LoginExpired: it was valid, and has expired.
            IssuerUnavailable: the issuer's keys could not be fetched.
        """
        try:
            identified = await self._verified(token)
        except signed.Unreadable as error:
            raise Unauthenticated(INVALID) from error
        if (fault := self.fault(identified)) is not None:
            raise fault
        return identified

    def fault(self, identified: Identified) -> RhetorError | None:
        """Return why a verified token is no longer valid; None if it still is."""
        if identified.ends <= self._elapsed():
            return LoginExpired(EXPIRED)
        if not self.is_known(identified):
            return Unauthenticated("the issuer, or its key, is no longer accepted; get a new token")
        return None

    def is_known(self, identified: Identified) -> bool:
        """Return whether the issuer is still configured as it was, and still has the key."""
        entry, keys = self._entries.get(identified.entry.issuer, (None, None))
        return keys is not None and entry == identified.entry and keys.has(identified.kid)

    def is_fresh(self, identified: Identified) -> bool:
        """Return whether it is known well enough that the issuer still has the key."""
        _, keys = self._entries.get(identified.entry.issuer, (None, None))
        return keys is not None and keys.is_fresh

    async def _verified(self, token: str) -> Identified:
        await signed.load_library()
        header = signed.header_of(token)
        kid = header.get("kid")
        if REFUSED & header.keys() or header.get("typ") not in TYPES or not isinstance(kid, str | None):
            raise signed.Unreadable("the header is not one of an access token")
        issuer = signed.unverified_claims_of(token).get("iss")
        if not isinstance(issuer, str) or issuer not in self._entries:
            raise signed.Unreadable("unknown issuer")
        entry, keys = self._entries[issuer]
        found = await keys.find(kid)
        if found is None or not found[1].is_for(header.get("alg")):
            raise signed.Unreadable("unknown key, or another algorithm than the key's")
        kid, public = found
        claims = signed.claims_of(token, public.key, public.algorithm)
        self._check(entry, claims)
        ends = self._elapsed() + claims["exp"] + LEEWAY_SECONDS - self._clock()
        return Identified(entry, kid, f"{entry.name}:{claims['sub']}", _scopes(entry, claims), ends)

    def _check(self, entry: IssuerEntry, claims: dict[str, Any]) -> None:
        from joserfc.jwt import JWTClaimsRegistry

        rules = JWTClaimsRegistry(
            int(self._clock()),
            LEEWAY_SECONDS,
            iss={"essential": True, "value": entry.issuer},
            aud={"essential": True, "value": entry.audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        signed.check(claims, rules)
        exp, sub = claims["exp"], claims["sub"]
        if not 0 <= exp <= self._clock() + MOST_SECONDS:
            raise signed.Unreadable("no token is valid for so long")
        if len(sub) > MOST_SUBJECT or not sub.isprintable():
            raise signed.Unreadable("the subject cannot be shown")


def _scopes(entry: IssuerEntry, claims: dict[str, Any]) -> frozenset[str]:
    """Return the scopes of the entry, or those of them that the token names, if it names any of the hub's."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    named = ALL.intersection(word for word in words if isinstance(word, str))
    return frozenset(entry.scopes) & named if named else frozenset(entry.scopes)
