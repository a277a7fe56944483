"""Identities: the tokens that the hub has issued, the keys that sign them, and the logins of browsers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec import Struct

ACCESS_SECONDS = 600  # the life of an access token, unless an administrator asks for another
LEEWAY_SECONDS = 30  # by how much the clocks of two machines may differ
OVERLAP_SECONDS = ACCESS_SECONDS + LEEWAY_SECONDS  # how long a replaced key still verifies
REFRESH_SECONDS = 30 * 86_400  # after which an unused refresh token expires
ISSUED_SECONDS = 30 * 86_400  # the life of a token with a name, unless another is asked for
MOST_SECONDS = 366 * 86_400
SIGNING_KEY, GRANT, LOGIN = "signing_key", "grant", "login"  # the kinds of rows
COOKIE = "cookie "  # what precedes the credential that a browser's login was requested with
OIDC = "oidc"  # the kind of the credential of a team's own issuer, as in `oidc NAME`
JWT = "jwt"  # the kind of the credential, as in `jwt NAME`


def digest_of(token: str) -> str:
    """Return what is stored of a token or a key that the hub has given out: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class SigningKey(Struct, frozen=True, gc=False):
    """A key of Ed25519 that signs tokens. `secret`: its 32 bytes, which the store seals. `at`: when it was
    made. `ends`: when it no longer verifies tokens; None if it signs new ones. `issuer`: the `iss` of this
    hub. Times are Unix times in milliseconds."""

    kid: str
    secret: bytes
    at: int
    issuer: str
    ends: int | None = None


class Grant(Struct, frozen=True, gc=False):
    """What a subject may do, until it expires or is revoked, with one or more tokens.

    `scopes`: sorted. `at` and `expires`: Unix times in milliseconds. `seconds`: the life of its access
    tokens. `kid`: the key of its only token; empty if it has refresh tokens. `parent`: the grant with whose
    token it was requested, or `hub` and the digest of the hub's token; it ends with that. Empty if the owner
    requested it on the Unix socket.
    """

    id: str
    subject: str
    scopes: tuple[str, ...]
    at: int
    expires: int
    seconds: int
    name: str | None = None
    kid: str = ""
    parent: str = ""

    @property
    def label(self) -> str:
        """The name, or the id if it has none."""
        return self.name or self.id

    @property
    def credential(self) -> str:
        """How `Principal.credential` names its tokens."""
        return f"{JWT} {self.label}"


HUB = "hub "  # begins the `parent` of a grant that was requested with the hub's token


class Login(Struct, frozen=True, gc=False):
    """The login of a browser, which has the subject and the scopes of the caller that requested its code.

    `digest`: of its cookie, which is not stored. `host`: the name that the cookie belongs to. `at` and
    `expires`: Unix times in milliseconds. `credential`: how `Principal.credential` names it. `parent`: the
    grant that it ends with, or `hub` and the digest of the hub's token; empty if only this process knows what
    it ends with. `by`: the id of the login of the page that requested its code.
    """

    id: str
    digest: str
    subject: str
    scopes: tuple[str, ...]
    host: str
    at: int
    expires: int
    credential: str
    parent: str = ""
    by: str = ""
    address: str = ""
    user_agent: str = ""


class LoginCode(Struct, frozen=True, gc=False):
    """What a one-time code gives that is stored: the subject and the scopes of the caller that requested it.
    `expires`: Unix time in milliseconds. The rest is as in `Login` and `Requested`."""

    subject: str
    scopes: tuple[str, ...]
    expires: int
    credential: str
    parent: str
    by: str
    until: int | None
    by_network: bool


class Identities:
    """The grants, signing keys and logins that are valid now, by their ids, and logins by the digests of
    their cookies. They are in memory, because every new token is checked against them; the catalog has the
    same rows. The keys are read when they are first
    needed: opening them would make the start of the hub slower. `hub_token` returns the digest of the hub's
    token, which may change at any time; empty if there is none. `retired`: the digests of those that were
    replaced, if other nodes may still have them."""

    def __init__(self) -> None:
        self.has_keys = False
        self.hub_token: Callable[[], str] = str
        self.keys: dict[str, SigningKey] = {}
        self.grants: dict[str, Grant] = {}
        self.logins: dict[str, Login] = {}
        self.retired: set[str] = set()

    def holds(self, id: str) -> bool:
        """Return whether a grant is valid: neither was it revoked, nor was the hub's token replaced with
        which it was requested."""
        grant = self.grants.get(id)
        return grant is not None and not self.is_orphan(grant)

    def is_orphan(self, grant: Grant) -> bool:
        """Return whether the hub's token with which the grant was requested has been replaced."""
        return grant.parent.startswith(HUB) and grant.parent != HUB + self.hub_token()

    def is_backed(self, login: Login, now: int) -> bool:
        """Return whether the token is still valid with which a login was requested. `now`: Unix time in
        milliseconds."""
        return self.backs(login.parent, now)

    def backs(self, parent: str, now: int) -> bool:
        """Return whether what a login ends with, as in `Login.parent`, is still valid."""
        if parent.startswith(HUB):
            return parent == HUB + self.hub_token()
        grant = self.grants.get(parent)
        return not parent or (grant is not None and grant.expires > now and not self.is_orphan(grant))

    @property
    def signing(self) -> SigningKey | None:
        """The key that signs new tokens; None if there is none yet."""
        return next((key for key in self.keys.values() if key.ends is None), None)

    def of(self, credential: str) -> Grant | None:
        """Return the grant of a caller with this `Principal.credential`, if it has one: of a token, or of the
        token that a browser's login was requested with."""
        named = credential.removeprefix(COOKIE)
        return next((each for each in self.grants.values() if each.credential == named), None)
