"""The credential of a connection, which is checked again while the connection is open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rhetor.domain.identity import Login
from rhetor.errors import LoginExpired, RhetorError, Unauthenticated

from .access_tokens import Access, AccessTokens
from .issuers import Identified, Issuers
from .logins import Logins
from .tokens import TokenFile


class Credential(Protocol):
    """The credential that a connection was opened with."""

    def fault(self) -> RhetorError | None:
        """Return why the credential is no longer valid; None if it still is."""
        ...


class ByToken:
    """The token that was valid when the connection was opened."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens
        self._generation = tokens.generation

    def fault(self) -> RhetorError | None:
        if self._tokens.generation == self._generation:
            return None
        return Unauthenticated("the token was replaced; to print the new one, run: rhetor token")


class ByAccessToken:
    """A verified access token."""

    def __init__(self, tokens: AccessTokens, access: Access) -> None:
        self._tokens = tokens
        self._access = access

    def fault(self) -> RhetorError | None:
        return self._tokens.fault(self._access)

    def is_granted(self) -> bool:
        """Return whether the token's grant is still valid."""
        return self._tokens.has(self._access.grant)


class ByIssuer:
    """A verified token of a team's own issuer. `is_fresh`: whether it need not be verified again yet."""

    def __init__(self, issuers: Issuers, identified: Identified) -> None:
        self._issuers = issuers
        self._identified = identified

    def fault(self) -> RhetorError | None:
        return self._issuers.fault(self._identified)

    def is_granted(self) -> bool:
        """Return whether the issuer and its key are still accepted."""
        return self._issuers.is_known(self._identified)

    @property
    def is_fresh(self) -> bool:
        return self._issuers.is_fresh(self._identified)


class ByCookie:
    """The login of a browser, which was valid when the connection was opened."""

    def __init__(self, logins: Logins, login: Login) -> None:
        self._logins = logins
        self.login = login

    def fault(self) -> RhetorError | None:
        if self._logins.has_expired(self.login):
            return LoginExpired("the login has expired; log in again")
        if self._logins.is_granted(self.login):
            return None
        return Unauthenticated("the login was ended; log in again")

    def origin(self) -> Callable[[], bool]:
        """Return a function that returns whether the token is still valid with which the login was requested.
        That the login ends does not count."""
        return self._logins.grant_of(self.login)


def is_granted(credential: Credential | None) -> Callable[[], bool]:
    """Return a function that returns whether a credential has not been revoked. That it expires does not
    count."""
    if isinstance(credential, ByAccessToken | ByIssuer):
        return credential.is_granted
    if isinstance(credential, ByCookie):
        return credential.origin()
    if isinstance(credential, ByToken):  # it may have been replaced since the request was admitted
        return lambda: credential.fault() is None
    return lambda: True
