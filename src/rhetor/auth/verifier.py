"""The one verifier of tokens, for every API: the hub's token file, keys of programs, access tokens of the hub
and of a team's own issuers."""

from __future__ import annotations

import hashlib
from typing import Protocol

from msgspec import Struct

from rhetor.domain.identity import OIDC
from rhetor.domain.principal import ALL
from rhetor.errors import Unauthenticated

from . import signed
from .access_tokens import INVALID, AccessTokens
from .credentials import ByAccessToken, ByIssuer, ByToken, Credential
from .issuers import Issuers
from .tokens import TokenFile

MOST_CACHED = 10_000
TOKEN, KEY = "token", "key"  # kinds of credentials, as in `Principal.credential`


class Verified(Struct, frozen=True):
    """What a valid token stands for. `kind`: as in `Principal.credential`. `agent`: the peer whose program
    has the key; None for a person."""

    subject: str
    scopes: frozenset[str]
    kind: str
    credential: Credential
    agent: str | None = None


class AgentKeys(Protocol):
    """The keys of programs that run as peers."""

    def find(self, key: str) -> tuple[str, Credential] | None:
        """Return the peer whose program has the key, and the credential; None if the key is unknown."""
        ...


class NoAgentKeys:
    """The keys of a hub whose programs have none."""

    def find(self, key: str) -> tuple[str, Credential] | None:
        return None


class Verifier:
    """Verifies tokens. `owner`: the subject of the hub's token. Access tokens that were verified once are
    remembered, by their SHA-256, until they expire or are revoked, or the keys of their issuer are old."""

    def __init__(
        self,
        file: TokenFile,
        owner: str,
        access: AccessTokens,
        agent_keys: AgentKeys | None = None,
        issuers: Issuers | None = None,
    ) -> None:
        self._file = file
        self._owner = owner
        self._access = access
        self._agent_keys = agent_keys or NoAgentKeys()
        self._issuers = issuers
        self._cached: dict[bytes, Verified] = {}

    async def verify(self, token: str) -> Verified:
        """Return what a token stands for.

        Raises:
            Unauthenticated: the token is invalid.
            LoginExpired: the token was valid, and has expired.
            IssuerUnavailable: the token names an issuer whose keys could not be fetched.
        """
        if not signed.is_signed(token):
            return self._unsigned(token)
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = self._cached.get(digest)
        if found is not None and found.credential.fault() is None and _is_fresh(found.credential):
            return found
        await self._access.ready()
        self._cached.pop(digest, None)
        found = await self._signed(token)
        if len(self._cached) >= MOST_CACHED:
            del self._cached[next(iter(self._cached))]
        self._cached[digest] = found
        return found

    def program(self, token: str) -> tuple[str, Credential] | None:
        """Return the peer whose program has this token as its key, and the credential; None if there is no
        such program."""
        return self._agent_keys.find(token)

    def is_file(self, token: str) -> bool:
        """Return whether it is the hub's own token."""
        return self._file.opens(token)

    def _unsigned(self, token: str) -> Verified:
        if self._file.opens(token):
            return Verified(self._owner, ALL, TOKEN, ByToken(self._file))
        if (found := self._agent_keys.find(token)) is not None:
            peer, credential = found
            return Verified("", frozenset(), f"{KEY} {peer}", credential, peer)
        raise Unauthenticated(INVALID)

    async def _signed(self, token: str) -> Verified:
        if self._file.opens(token):  # the file may have any text of enough length
            return self._unsigned(token)
        await self._access.look_up(token)
        if self._issuers is not None and not self._access.is_own(token):
            found = await self._issuers.verify(token)
            credential = ByIssuer(self._issuers, found)
            return Verified(found.subject, found.scopes, f"{OIDC} {found.entry.name}", credential)
        access = self._access.verify(token)
        grant = access.grant
        return Verified(grant.subject, access.scopes, grant.credential, ByAccessToken(self._access, access))


def _is_fresh(credential: Credential) -> bool:
    """Return whether a token need not be verified again, as that of an issuer whose keys are old."""
    return not isinstance(credential, ByIssuer) or credential.is_fresh
