"""The commands that issue and revoke tokens, and replace the key that signs them."""

from __future__ import annotations

from msgspec import Struct


class IssueToken(Struct, frozen=True, gc=False):
    """Grant scopes to a subject: by default, the scopes and the subject of the caller.

    `seconds`: the life of the access token. With `name`, it is the only token of its grant, and can be
    revoked by this name. Otherwise, it comes with a refresh token.
    """

    scopes: tuple[str, ...] | None = None
    seconds: int | None = None
    subject: str | None = None
    name: str | None = None


class RevokeToken(Struct, frozen=True, gc=False):
    """Revoke the tokens of a grant, by its name or id."""

    name: str


class RotateSigningKey(Struct, frozen=True, gc=False):
    """Sign new tokens with a new key."""


TokenCommand = IssueToken | RevokeToken | RotateSigningKey
