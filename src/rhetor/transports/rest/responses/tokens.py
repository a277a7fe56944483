"""Responses about tokens."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .common import Time


class Tokens(Struct):
    """An access token and the refresh token for the next one (RFC 6749, 5.1). `expires_in`: in seconds.
    `scope`: the scopes, separated by spaces."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    scope: str


class NamedToken(Struct):
    """A token that is valid now. `name`: its id if it has no name. `renewable`: it has a refresh token."""

    name: str
    subject: str
    scopes: list[str]
    issued_at: Time
    expires_at: Time
    renewable: bool


class IssuedToken(NamedToken):
    """A new token."""

    token: str


class NamedTokens(Struct):
    tokens: list[NamedToken]


class TokenRevoked(Struct):
    name: str
    status: str


class SigningKeyRotated(Struct):
    """A new key signs tokens. `old_ends_at`: until then, the old key verifies its tokens. `ended`: the names
    of the tokens that end then, earlier than they were issued for."""

    kid: str
    old_ends_at: Time
    ended: list[str]


class PublicKeys(Struct):
    """A JWK Set (RFC 7517)."""

    keys: list[dict[str, Any]]


class Ca(Struct):
    """The hub's own CA, which a device installs once. `url`: of its certificate. `sha256`: as devices show
    it."""

    url: str
    sha256: str


class Code(Struct):
    """A one-time code for a browser login. `expires_in`: in seconds. For another device, `qr` is the QR code
    of the URL, a text for each row, in which 1 is a dark module; and `ca` is null if the hub's certificate is
    not from a CA of its own."""

    code: str
    url: str
    expires_in: float
    qr: list[str] | None
    ca: Ca | None


class Login(Struct):
    """The login of a browser. `host`: the name that its cookie belongs to. `credential`: names the token with
    which it was requested. `used_at`: null if it was not used since the hub was started. `connections`: its
    open WebSockets and event streams. `current`: the request was sent with it."""

    id: str
    subject: str
    scopes: list[str]
    credential: str
    host: str
    address: str
    user_agent: str
    logged_in_at: Time
    expires_at: Time
    used_at: Time | None
    connections: int
    current: bool


class Logins(Struct):
    logins: list[Login]


class LoginEnded(Struct):
    id: str
    status: str


class LoginsEnded(Struct):
    """How many logins were ended."""

    ended: int
