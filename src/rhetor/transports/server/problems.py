"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.dialects import failures, vendor_errors
from rhetor.domain.event import TurnEnd
from rhetor.errors import RhetorError, TurnFailure
from rhetor.hub.sessions.send import Accepted

from . import login_page, vendor
from .headers import CONTENT_POLICY, HSTS, SECURITY_HEADERS, Header, may_require_https

MEDIA_TYPE = "application/problem+json"
MAY_RETRY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def body(error: RhetorError) -> dict[str, Any]:
    """Return the problem's members: the standard ones, and the error's own data. Data with the name of a
    standard member gets the prefix `provider_`."""
    standard = {
        "type": f"urn:rhetor:error:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
    }
    extra = {f"provider_{k}" if k in standard else k: v for k, v in error.data.items()}
    return {**extra, **standard}


def response(error: RhetorError, scope: Scope) -> Response:
    """Return the response to a request that gets an error: in the vendor's shape if it is for one of the
    compatible APIs, or as a page if a browser is to show how to log in."""
    if vendor.is_compatible(scope):
        status = vendor_errors.status_of(error)
        headers = _headers(error, status) | vendor.error_headers(error)
        content = vendor.error_body(error, scope)
        return Response(msgspec.json.encode(content), status, headers, vendor.JSON)
    headers = _headers(error, error.status)
    if login_page.explains(error, scope):
        headers |= {"Cache-Control": "no-store", "Vary": "Accept"}
        headers[CONTENT_POLICY[0].decode()] = login_page.POLICY
        return Response(login_page.about(error, scope), error.status, headers, "text/html")
    return Response(msgspec.json.encode(body(error)), error.status, headers, MEDIA_TYPE)


def _headers(error: RhetorError, status: int) -> dict[str, str]:
    headers = {CONTENT_POLICY[0].decode(): CONTENT_POLICY[1].decode()}
    if status in MAY_RETRY or "retry_after" in error.data:
        headers["Retry-After"] = str(max(1, math.ceil(error.data.get("retry_after", 1))))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(error.data["allowed"])
    return headers


async def refuse(error: RhetorError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with the error. A request for a WebSocket is answered before its upgrade (ASGI,
    WebSocket Denial Response)."""
    answer = response(error, scope)
    if scope["type"] == "http":
        await answer(scope, receive, send)
        return
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status_code,
            "headers": [*answer.raw_headers, *_for_browsers(scope)],
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(answer.body)})


def _for_browsers(scope: Scope) -> Sequence[Header]:
    """Return the headers that the server adds to all other responses."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    is_secure = scope["scheme"] == "wss" and may_require_https(host)
    return (*SECURITY_HEADERS, HSTS) if is_secure else SECURITY_HEADERS


def failure_of(end: TurnEnd, accepted: Accepted, partial: str) -> TurnFailure:
    """Return the error for a client that waited for a turn which did not complete. `partial`: the text so
    far."""
    data = {"turn_id": accepted.turn_id, "session_id": accepted.session_id, "partial": partial}
    return failures.failure_of(end, **data)
