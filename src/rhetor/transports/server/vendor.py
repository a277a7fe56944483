"""What all requests to the OpenAI- and Anthropic-compatible APIs have in common: the key in `x-api-key`, ids
of requests, and errors in the vendor's shape."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rhetor.dialects import vendor_errors
from rhetor.errors import RhetorError, Unauthenticated

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

PREFIX = "/v1/"
MESSAGES = "/v1/messages"
MODELS = "/v1/models"
RESPONSES = "/v1/responses"
JSON = "application/json"
ANTHROPIC_VERSION = b"anthropic-version"
REQUEST_ID = "request_id"  # in the state of a scope


def is_compatible(scope: Scope) -> bool:
    """Whether a request is for one of these APIs."""
    path: str = scope["path"]
    return path.startswith(PREFIX)


def is_anthropic(scope: Scope) -> bool:
    """Whether the client expects Anthropic's shapes. Only the path of the models is the same for both
    vendors."""
    return scope["path"].startswith(MESSAGES) or any(
        name == ANTHROPIC_VERSION for name, _ in scope["headers"]
    )


def error_body(error: RhetorError, scope: Scope) -> dict[str, Any]:
    """Return the body of a response with an error."""
    if is_anthropic(scope):
        return vendor_errors.anthropic(error, scope["state"][REQUEST_ID])
    names = vendor_errors.OF_RESPONSES if scope["path"].startswith(RESPONSES) else vendor_errors.NOTHING
    return vendor_errors.openai(error, names)


def error_headers(error: RhetorError) -> dict[str, str]:
    """Return headers of a response with an error: where its turn is in the log, if there is one, and whether
    the vendors' clients should repeat the request, which they otherwise decide by the status alone."""
    found = {"x-should-retry": "true" if error.retryable else "false"}
    for name in ("session_id", "turn_id"):
        if name in error.data:
            found[f"x-{name.replace('_', '-')}"] = str(error.data[name])
    return found


def identified(send: Send, scope: Scope) -> Send:
    """Return a `send` that names the request in the headers of its response, as both vendors do."""
    id = scope["state"][REQUEST_ID] = f"req_{os.urandom(12).hex()}"
    added = [(b"x-request-id", id.encode()), (b"request-id", id.encode())]

    async def identified_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return identified_send


def with_key(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of a request with its `x-api-key` as its Authorization.

    Raises:
        Unauthenticated: it has both, and they differ.
    """
    key = headers.get("x-api-key")
    if key is None:
        return headers
    bearer = f"Bearer {key.strip()}"
    if headers.get("authorization", bearer) != bearer:
        raise Unauthenticated("Authorization and x-api-key have different tokens; send only one of them")
    return {**headers, "authorization": bearer}
