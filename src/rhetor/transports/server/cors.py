"""Lets pages of the allowed origins read responses (CORS, in the Fetch standard).

Only an exact, configured origin is ever named. Credentials of the browser are not allowed: such a page sends
the token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import Response

from .headers import CONTENT_POLICY

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-Session-Id, "
    "Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name, "
    # those of the clients of the vendors' APIs
    "X-Api-Key, Anthropic-Version, Anthropic-Beta, Anthropic-Dangerous-Direct-Browser-Access, OpenAI-Beta, "
    "OpenAI-Organization, OpenAI-Project, X-Stainless-Arch, X-Stainless-Custom-Poll-Interval, "
    "X-Stainless-Helper, X-Stainless-Helper-Method, X-Stainless-Lang, X-Stainless-OS, "
    "X-Stainless-Package-Version, X-Stainless-Poll-Helper, X-Stainless-Retry-Count, X-Stainless-Runtime, "
    "X-Stainless-Runtime-Version, X-Stainless-Timeout"
)
RESPONSE_HEADERS = (
    "Mcp-Session-Id, Preference-Applied, Request-Id, Retry-After, X-Cursor, X-Plan-Id, X-Request-Id, "
    "X-Rhetor-Notice, X-Routed-To, X-Session-Id, X-Should-Retry, X-Turn-Id, X-Unasked-After"
)
AGE_SECONDS = "600"


def preflight(origin: str) -> Response:
    """Return the answer to a preflight request of a page of this origin. It needs no token."""
    headers = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": REQUEST_HEADERS,
        "access-control-max-age": AGE_SECONDS,
        "vary": "Origin",
    }
    headers |= {CONTENT_POLICY[0].decode(): CONTENT_POLICY[1].decode()}
    return Response(status_code=204, headers=headers)


def sharing(send: Send, origin: str) -> Send:
    """Return a `send` that lets pages of this origin read the response."""
    added = [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", RESPONSE_HEADERS.encode()),
        (b"vary", b"Origin"),
    ]

    async def shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return shared
