"""The sessions of clients of the revisions up to 2025-11-25, which the library keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, authorization_context
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from rhetor.domain.principal import Principal

from .caller import BODY_BYTES

MOST_SESSIONS = 1000
IDLE_SECONDS = 1800.0  # after which the session of a client that says nothing is forgotten


def user_of(who: Principal) -> AuthenticatedUser:
    """Return the caller in the library's own terms: another caller cannot use its MCP session."""
    return AuthenticatedUser(AccessToken(token="", client_id=who.subject, scopes=[]))


class Sessions(StreamableHTTPSessionManager):
    """The library's sessions. A request that it does not see can use one, too."""

    def __init__(self, server: Server[Any]) -> None:
        super().__init__(
            server,
            session_idle_timeout=IDLE_SECONDS,
            max_request_body_size=BODY_BYTES,
            max_sessions=MOST_SESSIONS,
        )

    def has(self, id: str, user: AuthenticatedUser | None) -> bool:
        """Return whether the session is open, and is the user's."""
        transport = self._server_instances.get(id)
        if transport is None or transport.is_terminated or transport.idle_scope is None:
            return False
        owner = None if user is None else authorization_context(user)
        return self._session_owners.get(id) == owner and not transport.idle_scope.cancel_called

    @contextmanager
    def used(self, id: str) -> Iterator[None]:
        """While the context is open, the session does not expire; then its time begins anew."""
        transport = self._server_instances[id]
        assert transport.idle_scope is not None
        transport._requests_in_flight += 1
        transport.idle_scope.deadline = math.inf
        try:
            yield
        finally:
            transport._requests_in_flight -= 1
            if not transport._requests_in_flight:
                transport.idle_scope.deadline = anyio.current_time() + IDLE_SECONDS
