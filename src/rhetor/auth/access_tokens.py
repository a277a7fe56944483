"""Access tokens: JWTs (RFC 9068) that this hub signs, and verifies with its own keys only.

A token of this hub has one spelling. Its claims are encoded again and compared, which is faster than a
library for every JWT, and stricter."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.domain.identity import (
    GRANT,
    LEEWAY_SECONDS,
    MOST_SECONDS,
    SIGNING_KEY,
    Grant,
    Identities,
    SigningKey,
)
from rhetor.errors import LoginExpired, RhetorError, Unauthenticated

from . import signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LIBRARY = "cryptography.hazmat.primitives.asymmetric.ed25519"
ALGORITHM, TYPE, AUDIENCE = "Ed25519", "at+jwt", "rhetor"
INVALID = "invalid token; `rhetor token` prints the hub's, `rhetor token issue` issues others"
EXPIRED = "the token has expired; get a new one"
KID = re.compile(r"[0-9a-f]{16}")  # what this hub gives its keys
Fetch = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]  # of rows, by kind and id
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed_seconds() -> float:
    """Return the seconds since the machine was booted, including those in which it was suspended."""
    return time.clock_gettime(_BOOTTIME)


async def fetch_nothing(places: Sequence[tuple[str, str]]) -> None:
    """Read no rows: no other node writes any."""


class Access(msgspec.Struct, frozen=True):
    """A verified token. `ends`: when it expires, in seconds of a clock that cannot be set."""

    grant: Grant
    kid: str
    scopes: frozenset[str]
    ends: float


class _Key(msgspec.Struct, frozen=True):
    """A signing key in the library's form. `ends`: as in `Access`; None if it signs new tokens."""

    stored: SigningKey
    private: Ed25519PrivateKey
    public: Ed25519PublicKey
    ends: float | None


class _Claims(msgspec.Struct, forbid_unknown_fields=True):
    """The claims of a token, in their order."""

    iss: str
    aud: str
    sub: str
    scope: str
    exp: int
    iat: int
    jti: str


_claims_in = msgspec.json.Decoder(_Claims)
_json_of = msgspec.json.Encoder().encode


class AccessTokens:
    """Signs and verifies the tokens of the grants in `identities`. `load_keys` reads their keys; further
    calls do nothing. `fetch` reads rows that another node may have just written.

    `clock`: Unix time in seconds, to which the times in tokens refer. `elapsed`: seconds of a clock that
    cannot be set. A token that was verified once expires by that clock, so setting the machine's clock ends
    nothing that is in use.
    """

    def __init__(
        self,
        identities: Identities,
        load_keys: Callable[[], Awaitable[None]],
        *,
        fetch: Fetch = fetch_nothing,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self._identities = identities
        self._load_keys = load_keys
        self._fetch = fetch
        self._clock = clock
        self._elapsed = elapsed
        self._keys: dict[str, _Key] = {}

    async def ready(self) -> None:
        """Prepare the keys and the library. Call this before any other method."""
        if not self._identities.has_keys:
            await self._load_keys()
        await signed.load_library(LIBRARY)

    async def look_up(self, token: str) -> None:
        """Read what is missing in memory of a token that is not verified yet: another node may have issued it
        a moment ago. Nobody else can let this read a grant."""
        try:
            kid = signed.header_of(token).get("kid")
            if isinstance(kid, str) and KID.fullmatch(kid) and kid not in self._identities.keys:
                await self._fetch([(SIGNING_KEY, kid)])
            _, claims = self._read(token)
        except signed.Unreadable:
            return
        grant = claims.jti.partition(".")[0]
        if grant not in self._identities.grants:
            await self._fetch([(GRANT, grant)])

    def issue(self, grant: Grant, seconds: int) -> str:
        """Return a new token of a grant, which expires after so many seconds. There must be a signing key."""
        stored = self._identities.signing
        assert stored is not None
        now = int(self._clock())
        claims = _Claims(
            iss=stored.issuer,
            aud=AUDIENCE,
            sub=grant.subject,
            scope=" ".join(grant.scopes),
            exp=now + seconds,
            iat=now,
            jti=f"{grant.id}.{secrets.token_hex(8)}",
        )
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": stored.kid}
        content = f"{signed.encoded(_json_of(header))}.{signed.encoded(_json_of(claims))}"
        return f"{content}.{signed.encoded(self._of(stored).private.sign(content.encode()))}"

    def verify(self, token: str) -> Access:
        """Return what a token that `signed.is_signed` stands for.

        Raises:
            Unauthenticated: it is not a token of this hub, or no longer valid.
            LoginExpired: it was valid, and has expired.
        """
        try:
            kid, claims = self._read(token)
        except signed.Unreadable as error:
            raise Unauthenticated(INVALID) from error
        grant = self._identities.grants.get(claims.jti.partition(".")[0])
        scopes = frozenset(claims.scope.split(" "))
        if grant is None or grant.subject != claims.sub or not scopes <= frozenset(grant.scopes):
            raise Unauthenticated(INVALID)
        left = claims.exp + LEEWAY_SECONDS - self._clock()
        access = Access(grant, kid, scopes, self._elapsed() + left)
        if (fault := self.fault(access)) is not None:
            raise fault
        return access

    def fault(self, access: Access) -> RhetorError | None:
        """Return why a verified token is no longer valid; None if it still is."""
        if access.ends <= self._elapsed():
            return LoginExpired(EXPIRED)
        if not self._identities.holds(access.grant.id):
            return Unauthenticated("the token was revoked; get a new one")
        if self._key(access.kid) is None:
            return Unauthenticated("the key that signed the token was replaced; get a new token")
        return None

    def is_own(self, token: str) -> bool:
        """Return whether a token that `signed.is_signed` names a key of this hub; nothing is verified."""
        try:
            kid = signed.header_of(token).get("kid")
        except signed.Unreadable:
            return False
        return isinstance(kid, str) and kid in self._identities.keys

    def has(self, grant: Grant) -> bool:
        """Return whether a grant is still valid. It may have been extended since."""
        found = self._identities.grants.get(grant.id)
        return (
            found is not None
            and found.expires > self._clock() * 1000
            and not self._identities.is_orphan(found)
        )

    def grant_of(self, token: str) -> Grant | None:
        """Return the grant of a token, which may have expired; None if it is not a token of this hub."""
        if not signed.is_signed(token):
            return None
        try:
            _, claims = self._read(token)
        except signed.Unreadable:
            return None
        return self._identities.grants.get(claims.jti.partition(".")[0])

    def public_keys(self) -> list[dict[str, Any]]:
        """Return the public keys that verify tokens now, as JWKs (RFC 7517, RFC 8037)."""
        found = []
        for kid in self._identities.keys:
            if (each := self._key(kid)) is not None:
                jwk = {"kty": "OKP", "crv": ALGORITHM, "x": signed.encoded(each.public.public_bytes_raw())}
                found.append({**jwk, "kid": kid, "use": "sig", "alg": ALGORITHM})
        return found

    def _read(self, token: str) -> tuple[str, _Claims]:
        """Return the id of the key, and the claims. The token may have expired.

        Raises:
            Unreadable: the token is not one that this hub has signed, or is not valid yet.
        """
        header = signed.header_of(token)
        kid = header.get("kid")
        if header != {"alg": ALGORITHM, "typ": TYPE, "kid": kid} or not isinstance(kid, str):
            raise signed.Unreadable("the header is not one of this hub")
        if (key := self._key(kid)) is None:
            raise signed.Unreadable("unknown key")
        content, _, signature = token.rpartition(".")
        _require_signature(key, content, signature)
        claims = _claims_of(content.partition(".")[2])
        self._check(key, claims)
        return kid, claims

    def _check(self, key: _Key, claims: _Claims) -> None:
        if claims.iss != key.stored.issuer or claims.aud != AUDIENCE:
            raise signed.Unreadable("the token is one of another hub, or for another one")
        now = self._clock()
        if claims.iat > now + LEEWAY_SECONDS:
            raise signed.Unreadable("the token is not valid yet")
        if not 0 <= claims.exp <= now + MOST_SECONDS + LEEWAY_SECONDS:
            raise signed.Unreadable("no token is valid for so long")

    def _key(self, kid: str) -> _Key | None:
        """Return a key that verifies tokens now."""
        stored = self._identities.keys.get(kid)
        if stored is None:
            return None
        found = self._of(stored)
        return None if found.ends is not None and found.ends <= self._elapsed() else found

    def _of(self, stored: SigningKey) -> _Key:
        found = self._keys.get(stored.kid)
        if found is None or found.stored is not stored:
            ends = None if stored.ends is None else self._elapsed() + stored.ends / 1000 - self._clock()
            private = _private_key(stored)
            found = self._keys[stored.kid] = _Key(stored, private, private.public_key(), ends)
            self._keys = {kid: each for kid, each in self._keys.items() if kid in self._identities.keys}
        return found


def _private_key(stored: SigningKey) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(stored.secret)


def _require_signature(key: _Key, content: str, signature: str) -> None:
    """Require that the hub has signed the content, before anything in it is read."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.public.verify(signed.decoded(signature), content.encode("ascii"))
    except (InvalidSignature, ValueError) as error:
        raise signed.Unreadable("the signature is invalid") from error


def _claims_of(payload: str) -> _Claims:
    """Return the claims, in the one spelling in which the hub writes them."""
    try:
        claims = _claims_in.decode(signed.decoded(payload))
    except (ValueError, RecursionError) as error:
        raise signed.Unreadable("the claims are not those of a token of this hub") from error
    if signed.encoded(_json_of(claims)) != payload:
        raise signed.Unreadable("the claims are spelled in another way")
    return claims
