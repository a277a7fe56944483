"""Errors as OpenAI and Anthropic send them: the bodies, statuses and codes that their clients know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rhetor.errors import RhetorError, Unprocessable

# where a vendor has another status for the same condition
_STATUSES = {
    "unprocessable": 400,
    "unsupported": 400,
    "unknown_model": 404,
    "hop_limit": 400,
    "cannot_run_line": 400,
    "context_overflow": 400,
    "rate_limited": 429,
    "provider_cooling": 503,
}
# what an API calls a parameter, if it is not what the drivers of models call it
Names = Mapping[str, str]
NOTHING: Names = {}
OF_RESPONSES: Names = {"messages": "input", "response_format": "text.format", "verbosity": "text.verbosity"}
OF_MESSAGES: Names = {"stop": "stop_sequences", "response_format": "output_config.format"}
_QUERY = "query."
_REFUSED_BY_PROVIDER = frozenset({400, 413, 422})
_OPENAI_CODES = {
    "unauthenticated": "invalid_api_key",
    "login_expired": "invalid_api_key",
    "unknown_peer": "model_not_found",
    "unknown_team": "model_not_found",
    "no_capable_peer": "model_not_found",
    "unknown_model": "model_not_found",
    "context_overflow": "context_length_exceeded",
    "rate_limited": "rate_limit_exceeded",
    "rate_exceeded": "rate_limit_exceeded",
    "internal": "internal_error",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


# by the parameter: what tells Anthropic's clients to send the request again without it
_ANTHROPIC_DETAILS = {"thread": {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}}


def refused(parameter: str, why: str, reason: str = "invalid_value") -> Unprocessable:
    """Return the error for a parameter. `parameter`: its path, as in `messages[0].content`; `reason`:
    OpenAI's code for it."""
    fault = {"where": parameter, "why": why}
    return Unprocessable(f"{parameter}: {why}", faults=[fault], param=parameter, reason=reason)


def status_of(error: RhetorError | type[RhetorError]) -> int:
    """Return the HTTP status with which the vendors answer such an error. A request that the model's provider
    refuses is the client's, and is not to be repeated."""
    if isinstance(error, RhetorError) and error.data.get("status") in _REFUSED_BY_PROVIDER:
        return 400
    return _STATUSES.get(error.code, error.status)


def openai(error: RhetorError, names: Names = NOTHING) -> dict[str, Any]:
    """Return the body of an error in OpenAI's shape. `names`: of the API's parameters."""
    status, data = status_of(error), error.data
    if status == 429:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if status >= 500 else "invalid_request_error"
    code = data.get("reason") or _OPENAI_CODES.get(error.code, error.code)
    param: str | None = data.get("param") or ("model" if code == "model_not_found" else None)
    if in_query := [each["where"] for each in data.get("faults", ()) if each["where"].startswith(_QUERY)]:
        code, param = "invalid_value", in_query[0].removeprefix(_QUERY)
    text = message_of(error, names)
    return {"error": {"message": text, "type": kind, "param": names.get(param or "", param), "code": code}}


def anthropic(error: RhetorError, request_id: str) -> dict[str, Any]:
    """Return the body of an error in Anthropic's shape."""
    status = status_of(error)
    kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    found: dict[str, Any] = {"type": kind, "message": message_of(error, OF_MESSAGES)}
    if details := _ANTHROPIC_DETAILS.get(error.data.get("param", "")):
        found["details"] = details
    return {"type": "error", "error": found, "request_id": request_id}


def message_of(error: RhetorError, names: Names = NOTHING) -> str:
    """Return what went wrong, and what to do about it, as the vendors' errors have only one text. `names`: of
    the API's parameters."""
    hint, known = error.data.get("hint"), error.data.get("param")
    text = f"{error.detail}; {hint}" if hint else error.detail
    if isinstance(known, str) and known in names:
        text = re.sub(rf"\b(leave out|the parameter|use) {known}\b", rf"\1 {names[known]}", text)
    return text
