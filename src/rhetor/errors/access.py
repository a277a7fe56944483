"""Errors of authentication and authorization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from .base import RhetorError


class Unauthenticated(RhetorError):
    """No valid token, cookie or code was sent, or it is no longer valid."""

    code, status, rpc, close = "unauthenticated", 401, -32003, 4500


class LoginExpired(RhetorError):
    """The browser's login has expired; log in again."""

    code, status, rpc, close = "login_expired", 401, -32003, 4001


class Forbidden(RhetorError):
    """The caller is authenticated, but may not do this. `is_noted`: the audit has an entry for it."""

    code, status, rpc, close = "forbidden", 403, -32003, 4003
    is_noted = False

    @classmethod
    def to_agents(cls, subject: str) -> Self:
        """Return the error for a program that runs as a peer and requests what only a person may do."""
        if subject == "agent:unidentified":
            detail = "only a person may do this, and the hub cannot tell which process called it"
            return cls(f"{detail}; set hub.trust_unidentified: true", subject=subject)
        return cls("only a person may do this, not a program that runs as a peer", subject=subject)

    @classmethod
    def to_machines(cls, subject: str) -> Self:
        """Return the error for a machine that joins the hub and requests anything else."""
        return cls("a token with the scope node only lets a machine join", subject=subject)

    @classmethod
    def without(cls, scope: str) -> Self:
        """Return the error for a caller whose credential lacks a scope."""
        detail = f"this needs the scope {scope}, which your credential does not have"
        return cls(detail, scope=scope, hint=f"use a token with it: rhetor token issue NAME --scopes {scope}")

    @classmethod
    def not_shared(cls, session_id: str, scope: str) -> Self:
        """Return the error for a session that is shared with the caller without a scope."""
        detail = f"the session is shared with you without the scope {scope}; its owner can add it"
        return cls(detail, scope=scope, session_id=session_id)


class InvalidGrant(RhetorError):
    """The refresh token is invalid, has expired, or was used before (RFC 6749, 5.2)."""

    code, status, rpc = "invalid_grant", 401, -32003

    def __init__(self, detail: str) -> None:
        super().__init__(detail, error=self.code)


class IssuerUnavailable(RhetorError):
    """The token names a configured issuer whose keys cannot be fetched now."""

    code, status, close = "issuer_unavailable", 503, 1011
    retryable, retry_after = True, 1.0
    hint = "check auth.issuers, and repeat the request in a moment"

    def __init__(self, issuer: str, reason: str = "its keys cannot be fetched; hub.log says why") -> None:
        super().__init__(f"the issuer {issuer} cannot be used: {reason}", issuer=issuer)


class NotOnNetwork(RhetorError):
    """No other device can reach the hub, or none would accept its certificate; `data["missing"]` has the
    settings to change."""

    code, status, rpc = "not_on_network", 409, -32003

    def __init__(self, why: str, missing: Sequence[str], hint: str) -> None:
        super().__init__(f"no other device can open the console: {why}", missing=list(missing), hint=hint)


class Misdirected(RhetorError):
    """The Host header names another server (RFC 9110, 15.5.20)."""

    code, status, close = "misdirected", 421, 4003


class TooManyAttempts(RhetorError):
    """One address sent too many invalid tokens, cookies or codes; `data["retry_after"]` is in seconds."""

    code, status, close = "too_many_attempts", 429, 4013
    retryable = True

    def __init__(self, limit: int, retry_after: float) -> None:
        detail = f"too many invalid credentials (more than {limit} per minute); wait {retry_after:.0f} s"
        super().__init__(detail, limit=limit, retry_after=retry_after)
