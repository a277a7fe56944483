"""The public keys of an OIDC issuer: fetched when they are needed, and each for one algorithm only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from rhetor.errors import IssuerUnavailable, RhetorError

if TYPE_CHECKING:
    from joserfc.jwk import Key

FRESH_SECONDS = 600.0  # after which the keys are fetched again, if a token needs them
STALE_SECONDS = 86_400.0  # after which keys are not used any more, if they cannot be fetched again
RETRY_SECONDS = 10.0  # between two attempts, however many tokens have unknown keys
MOST_KEYS = 100
RSA_BITS = 2048
DISCOVERY = "/.well-known/openid-configuration"
ED25519, EDDSA = "Ed25519", "EdDSA"  # the second is a deprecated name of the first (RFC 9864)
OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", ED25519: ED25519}
log = logging.getLogger(__name__)


class IssuerEntry(msgspec.Struct, frozen=True):
    """A configured issuer. `scopes`: what its tokens allow at most."""

    name: str
    issuer: str
    audience: str
    scopes: tuple[str, ...]
    jwks_url: str | None = None
    allow_private: bool = False


class Fetch(Protocol):
    """Returns the document at a URL, after it was checked that the hub may call it. Raises RhetorError."""

    async def __call__(self, url: str, *, allow_private: bool) -> bytes: ...


class PublicKey(msgspec.Struct, frozen=True):
    """A key, with the only algorithm whose signatures it verifies."""

    key: Key
    algorithm: str

    def is_for(self, name: object) -> bool:
        """Return whether a token with this `alg` may be verified with the key."""
        return name == self.algorithm or (name == EDDSA and self.algorithm == ED25519)


class IssuerKeys:
    """The keys of one issuer. `elapsed`: seconds of a clock that cannot be set."""

    def __init__(self, entry: IssuerEntry, fetch: Fetch, elapsed: Callable[[], float]) -> None:
        self._entry = entry
        self._fetch = fetch
        self._elapsed = elapsed
        self._keys: Mapping[str, PublicKey] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching = asyncio.Lock()

    def has(self, kid: str) -> bool:
        """Return whether the issuer still has the key, as far as is known."""
        return kid in self._keys

    @property
    def is_fresh(self) -> bool:
        """Whether the keys need not be fetched again yet."""
        return self._age() <= FRESH_SECONDS

    async def find(self, kid: str | None) -> tuple[str, PublicKey] | None:
        """Return the key with this id, with the id; without an id, the only one. None if there is no such
        key. The keys are fetched if they are old, or if the key is unknown.

        Raises:
            IssuerUnavailable: the keys could not be fetched.
        """
        found = self._known(kid)
        waits = found is None or not self._fetching.locked()  # a known key is used while others are fetched
        if waits and (found is None or not self.is_fresh):
            await self._renew()
            found = self._known(kid)
        if self._age() > STALE_SECONDS:
            raise IssuerUnavailable(self._entry.name)
        return found

    def _known(self, kid: str | None) -> tuple[str, PublicKey] | None:
        if kid is None:
            return next(iter(self._keys.items())) if len(self._keys) == 1 else None
        return (kid, self._keys[kid]) if kid in self._keys else None

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._elapsed() - self._fetched

    async def _renew(self) -> None:
        async with self._fetching:
            if self._tried is not None and self._elapsed() - self._tried < RETRY_SECONDS:
                return
            self._tried = self._elapsed()
            try:
                self._keys = await self._read()
            except RhetorError as error:
                detail = {"issuer": self._entry.name, "reason": error.detail}
                log.warning("keys of an issuer not available", extra=detail)
            else:
                self._fetched = self._elapsed()

    async def _read(self) -> Mapping[str, PublicKey]:
        entry = self._entry
        url = entry.jwks_url
        if url is None:
            about = await self._object(entry.issuer.rstrip("/") + DISCOVERY)
            if about.get("issuer") != entry.issuer or not isinstance(about.get("jwks_uri"), str):
                raise IssuerUnavailable(entry.name, "its configuration is not that of the issuer")
            url = about["jwks_uri"]
        keys = (await self._object(url)).get("keys")
        if not isinstance(keys, list):
            raise IssuerUnavailable(entry.name, f"{url} has no keys")
        return dict(each for each in map(_usable, keys[:MOST_KEYS]) if each is not None)

    async def _object(self, url: str) -> dict[str, Any]:
        content = await self._fetch(url, allow_private=self._entry.allow_private)
        try:
            return msgspec.json.decode(content, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise IssuerUnavailable(self._entry.name, f"{url} is not a JSON object") from error


def _usable(jwk: object) -> tuple[str, PublicKey] | None:
    """Return a key for signatures with its id, which is empty if it has none; None if it is for something
    else, is secret, or is too weak."""
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    kinds: dict[object, type[ECKey | OKPKey | RSAKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    kid, kind = jwk.get("kid", ""), kinds.get(jwk.get("kty"))
    algorithm = _algorithm(jwk)
    if kind is None or algorithm is None or not isinstance(kid, str):
        return None
    if kind is RSAKey and not _is_strong(jwk.get("n")):
        return None
    public = {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
    try:
        return kid, PublicKey(kind.import_key(public), algorithm)
    except (JoseError, ValueError, TypeError):
        return None


def _is_strong(modulus: object) -> bool:
    """Return whether the modulus of a key of RSA, in base64url, has at least 2,048 bits."""
    from joserfc.util import base64_to_int

    try:
        return isinstance(modulus, str) and base64_to_int(modulus).bit_length() >= RSA_BITS
    except ValueError:
        return False


def _algorithm(jwk: dict[str, Any]) -> str | None:
    """Return the only algorithm of a key: the one that it names, or else the usual one of its type."""
    named = jwk.get("alg")
    if jwk.get("kty") == "RSA":
        return named if named in OF_RSA else OF_RSA[0] if named is None else None
    crv = jwk.get("crv")
    usual = OF_CURVE.get(crv) if isinstance(crv, str) else None
    is_usual = named in (None, usual) or (named == EDDSA and usual == ED25519)
    return usual if is_usual else None
