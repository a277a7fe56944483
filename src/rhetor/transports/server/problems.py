"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from rhetor.errors import Malformed, RhetorError, Unprocessable

from .counters import REST
from .disconnect import CallerGone

PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"  # no control characters: names are shown, and written to logs

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


def body(error: RhetorError) -> dict[str, Any]:
    """The problem's members; the error's own data lies beside the standard ones and never over them."""
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


def response(error: RhetorError) -> Response:
    headers = {"Retry-After": "1"} if error.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(math.ceil(error.data.get("retry_after", 1)))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body(error)), error.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every failure of every route as a problem."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, RhetorError)
        return answered(error)

    def answered(error: RhetorError) -> Response:
        app.state.node.tally.fault(REST, error.code)
        return response(error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answered(_invalid(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        # FastAPI says "error parsing the body" of whatever was raised while the body was read
        cause = error.__cause__
        return answered(cause) if isinstance(cause, RhetorError) else _http(error)

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    async def unknown(request: Request, error: Exception) -> Response:
        log.error("request failed", exc_info=error, extra={"path": request.url.path})
        return answered(RhetorError("the hub made a mistake; its log has the details"))

    app.router.redirect_slashes = False  # a path that is nearly one is told so, too
    app.add_exception_handler(RhetorError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(CallerGone, gone)
    app.add_exception_handler(Exception, unknown)


def _invalid(error: RequestValidationError) -> RhetorError:
    faults = [{"where": ".".join(map(str, f["loc"])), "why": _why(f)} for f in error.errors()[:10]]
    if any(f["type"] == "json_invalid" for f in error.errors()):
        return Malformed("the body is not JSON", faults=faults)
    return Unprocessable(f"{faults[0]['where']}: {faults[0]['why']}", faults=faults)


def _why(fault: Mapping[str, Any]) -> str:
    if fault.get("ctx", {}).get("pattern") == PLAIN:
        return "there are control characters in it"  # no reader is helped by how the pattern is written
    return str(fault["msg"])


def _http(error: HTTPException) -> Response:
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_")
    members = {"type": f"urn:rhetor:error:{code}", "title": phrase, "status": error.status_code}
    content = {**members, "detail": str(error.detail), "code": code, "retryable": False}
    return Response(msgspec.json.encode(content), error.status_code, dict(error.headers or {}), MEDIA_TYPE)
