"""Bodies and queries about tokens and logins."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rhetor.domain.identity import MOST_SECONDS
from rhetor.domain.principal import ADMIN, APPROVE, NODE, READ, SEND
from rhetor.domain.token_commands import IssueToken

from .common import Body, NewName, Query, requires

MOST_TEXT = 16_384
NETWORK = "network"
# the hub checks the words itself, with an error that names the valid ones
Scope = Annotated[str, Meta(max_length=64, extra_json_schema={"enum": [READ, SEND, APPROVE, ADMIN, NODE]})]
Scopes = Annotated[tuple[Scope, ...], Meta(max_length=16, extra_json_schema={"minItems": 1})]
Seconds = Annotated[int, Meta(ge=1, le=MOST_SECONDS)]
Secret = Annotated[str, Meta(max_length=MOST_TEXT, extra_json_schema={"minLength": 1})]


class TokenBody(Body, frozen=True, kw_only=True):
    """What a new token is for. By default, `scopes` and `subject` are those of the caller. `ttl`: the life of
    the access token in seconds."""

    scopes: Scopes | None = None
    ttl: Seconds | None = None
    subject: NewName | None = None

    def command(self) -> IssueToken:
        return IssueToken(self.scopes, self.ttl, self.subject)


class NamedTokenBody(Body, frozen=True, kw_only=True):
    """A token with a name. `subject`: the name, unless it is given. `ttl`: in seconds; 30 days by default."""

    name: NewName
    scopes: Scopes
    ttl: Seconds | None = None
    subject: NewName | None = None

    def command(self) -> IssueToken:
        return IssueToken(self.scopes, self.ttl, self.subject, self.name)


class RefreshBody(Body, frozen=True, kw_only=True):
    """The refresh token, without which the request is unauthenticated."""

    constraints = requires("refresh_token")
    refresh_token: Secret = ""


class RevokeBody(Body, frozen=True, kw_only=True):
    """`token`: an access token or a refresh token. Without it, the request is unauthenticated, or invalid if
    it has other credentials."""

    constraints = requires("token")
    token: Secret = ""


class CodeBody(Body, frozen=True, kw_only=True):
    """Who uses the code: by default, a browser that can open the console where the caller does. `for`:
    `network` is another device. `host`: the name of the hub at which that device opens the console; by
    default, an address of the hub's machine."""

    target: Literal["here", "network"] = msgspec.field(default="here", name="for")
    host: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class LoginQuery(Query, frozen=True, kw_only=True):
    """The one-time code, without which a browser gets a page on which a person can type it."""

    constraints = requires("code")
    code: Annotated[str, Meta(max_length=200)] = ""
