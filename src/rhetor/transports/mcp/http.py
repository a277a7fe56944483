"""MCP over HTTP, behind the gate: plain requests are answered directly, all others by the library."""

from __future__ import annotations

from typing import Any

import msgspec
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.lowlevel import Server
from starlette.types import Receive, Scope, Send

from .caller import McpCaller
from .direct import Direct
from .plain import Plain, Recognizer
from .sessions import Sessions, user_of

CANCELLED = b"notifications/cancelled"


class _CancelledRequest(msgspec.Struct, frozen=True, rename="camel"):
    request_id: int | str


class _Cancellation(msgspec.Struct, frozen=True):
    method: str
    params: _CancelledRequest


class HttpServer:
    """The server for clients over HTTP. It answers only while `sessions.run()` runs."""

    def __init__(self, server: Server[Any], direct: Direct) -> None:
        self.sessions = Sessions(server)
        self._direct = direct
        self._recognizer = Recognizer()

    async def serve(
        self, caller: McpCaller | None, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request. `receive` returns its body again.

        Raises:
            CallerGone: the client disconnected.
        """
        user = None if caller is None else user_of(caller.who)
        if user is not None:
            scope["user"] = user
        if scope["method"] != "POST":
            await self._end(user, scope, receive, send)
            return
        plain = self._plain(user, scope, body)
        if plain is None:
            self._cancel(user, scope, body)
            await self.sessions.handle_request(scope, receive, send)
        elif plain.session is None:
            await self._direct.answer(plain, caller, scope, send)
        else:
            with self.sessions.used(plain.session):
                await self._direct.answer(plain, caller, scope, send)

    def _plain(self, user: AuthenticatedUser | None, scope: Scope, body: bytes) -> Plain | None:
        """Return the request if it can be answered directly."""
        plain = self._recognizer.plain(scope["headers"], body)
        if plain is None or not self._direct.knows(plain):
            return None
        if plain.session is not None and not self.sessions.has(plain.session, user):
            return None
        return plain

    def _cancel(self, user: AuthenticatedUser | None, scope: Scope, body: bytes) -> None:
        """Cancel a direct call if the request notifies of that. The library knows only its own calls."""
        session = _session(scope)
        if session is None or CANCELLED not in body or not self.sessions.has(session, user):
            return
        try:
            found = msgspec.json.decode(body, type=_Cancellation)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if found.method.encode() == CANCELLED:
            self._direct.cancel(session, found.params.request_id)

    async def _end(self, user: AuthenticatedUser | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the library end a session, and then its direct calls."""
        session = _session(scope)
        was_open = session is not None and self.sessions.has(session, user)
        await self.sessions.handle_request(scope, receive, send)
        if session is not None and was_open and not self.sessions.has(session, user):
            self._direct.cancel(session)


def _session(scope: Scope) -> str | None:
    return next((v.decode("latin-1") for k, v in scope["headers"] if k == b"mcp-session-id"), None)
