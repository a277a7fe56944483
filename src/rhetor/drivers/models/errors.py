"""Typed errors for failed calls to providers: what happened, and what the user can do about it.

The SDKs, their HTTP library and its transport each have their own errors. Some hide the real cause (a server
that hangs up is reported as a connect timeout), so the first cause in the chain decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from rhetor.drivers.models.target import Target
from rhetor.errors import (
    ContextOverflow,
    ModelUnknown,
    ProviderCooling,
    ProviderCut,
    ProviderDenied,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
    Unprocessable,
)

# the statuses of requests that no other model would accept either
_CONTENT = frozenset({400, 413, 422})

# `data["reason"]` if the account has no credit left; only its owner can change that
QUOTA = "quota"

_MAX_WORDS = 500  # characters of a provider's message that are kept

_OVERFLOW = re.compile(
    r"prompt is too long|maximum context length|context_length_exceeded|context (?:window|size|limit)",
    re.IGNORECASE,
)
_BILLING = re.compile(r"insufficient_quota|exceeded your current quota|credit balance|billing", re.IGNORECASE)

# the status for the type (Anthropic) or the code (OpenAI) of an error within a stream, which has no status
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
}


class _Error(msgspec.Struct):
    """The error object of both APIs; OpenRouter puts the status into `code`."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error | str = ""


def of_call(target: Target, error: Exception, connect: float, now: float) -> ProviderFailed:
    """Return the error for a call that raised: refused, unreachable, or no connection in `connect` seconds.

    `now`: Unix time, for a Retry-After header that gives a date.
    """
    response = getattr(error, "response", None)
    if response is not None:
        return refused(target, response.status_code, response.content, response.headers, now)
    if any(isinstance(cause, TimeoutError) for cause in _causes(error)):
        return timed_out(target, "connect", connect)
    return unreachable(target, error)


def refused(
    target: Target, status: int, body: bytes, headers: Mapping[str, str], now: float
) -> ProviderFailed:
    """Return the error for a response with a status other than 2xx. `now`: Unix time."""
    failure = _failure(target, status, *_words(body))
    if (seconds := retry_after(headers, now)) is not None:
        failure.data["retry_after"] = seconds
    return failure


def failed_in_stream(target: Target, data: bytes) -> ProviderFailed:
    """Return the error for an error event of a stream."""
    words, error = _words(data)
    return _failure(target, _status(error), words, error)


def cut(target: Target, why: str) -> ProviderCut:
    """Return the error for a stream that ended early or became unreadable."""
    return ProviderCut(
        f"the answer of {target.provider.name} is incomplete: {why}",
        retryable=True,
        **_data(target, None, "send the message again; the partial answer is kept"),
    )


def timed_out(target: Target, phase: str, seconds: float) -> ProviderTimeout:
    """Return the error for a call that timed out. `phase`: connect, first_chunk, idle or total."""
    data = _data(target, None, f"send the message again, or raise timeouts.{phase}") | {"phase": phase}
    return ProviderTimeout(
        f"{target.provider.name} did not answer in time ({phase}: {seconds:g} s)", retryable=True, **data
    )


def cooling(target: Target, failures: int, seconds: float) -> ProviderCooling:
    """Return the error for a provider in a cooldown. `seconds`: until it is called again; 0 if another turn
    is calling it now."""
    when = f"is called again in {seconds:.0f} s" if seconds >= 1 else "is being called again"
    hint = "send the message again then, or set models.fallbacks to other models"
    return ProviderCooling(
        f"{target.provider.name} failed {failures} turns in a row and {when}",
        retryable=True,
        **_data(target, None, hint) | {"retry_after": round(max(seconds, 1.0), 1)},
    )


def not_found_in_time(ref: str | None, phase: str) -> ProviderTimeout:
    """Return the error for a turn whose time was over before a provider was found."""
    hint = "send the message again, or set models.default to a model"
    return ProviderTimeout(
        f"no provider was found in time for {ref or 'auto'}",
        retryable=True,
        provider=None,
        model=ref,
        status=None,
        hint=hint,
        phase=phase,
    )


def out_of_reach(target: Target, error: Unprocessable) -> ModelUnknown:
    """Return the error for a provider whose URL may not be called."""
    hint = "for an address in a private network, add an entry under providers with allow_private: true"
    detail = f"{target.provider.name} cannot be called: {error.detail}"
    return ModelUnknown(detail, **_data(target, None, hint))


def unreachable(target: Target, error: Exception) -> ProviderUnreachable:
    """Return the error for a connection that failed, or was closed before any answer."""
    return ProviderUnreachable(
        f"{target.provider.name} cannot be reached: {reason(error)}",
        retryable=True,
        **_data(
            target, None, f"check that {target.provider.base_url} is running and reachable from this machine"
        ),
    )


def reason(error: Exception) -> str:
    """Return the message of the first cause of an error, or the name of its class if it has no message."""
    cause = _causes(error)[-1]
    return str(cause) or type(cause).__name__


def _causes(error: Exception) -> list[Exception]:
    """Return an error and its causes, the first cause last."""
    causes = [error]
    while isinstance(cause := causes[-1].__cause__, Exception):
        causes.append(cause)
    return causes


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the provider asks to wait (RFC 9110, 10.2.3); None if it does not ask."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None or (seconds := _number(value)) is not None:
        return None if value is None else seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _status(error: _Error) -> int:
    if isinstance(error.code, int):
        return error.code
    return _STATUS.get(error.code or "") or _STATUS.get(error.type or "") or 0


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e6 else None


def _words(body: bytes) -> tuple[str, _Error]:
    """Return the provider's message and its error object, both empty if the body has none."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        # an HTML page of a relay, or an empty body
        return "", _Error()
    error = _Error(error) if isinstance(error, str) else error
    return " ".join(error.message.split())[:_MAX_WORDS], error


def _failure(target: Target, status: int, words: str, error: _Error) -> ProviderFailed:
    said = f"{words} {error.type} {error.code}"
    kind, retryable, hint = _condition(target, status, said)
    reason = {"reason": QUOTA} if _is_quota(status, said) else {}
    # some providers include the rejected key in the message
    told = words.replace(target.provider.key, "[key]") if target.provider.key else words
    detail = f"{target.provider.name} refused the request: {told or 'no reason given'}" + (
        f" ({status})" if status else ""
    )
    return kind(detail, retryable=retryable, **_data(target, status or None, hint), **reason)


def _is_quota(status: int, said: str) -> bool:
    return status == 402 or (status in (400, 429) and bool(_BILLING.search(said)))


def _condition(target: Target, status: int, said: str) -> tuple[type[ProviderFailed], bool, str]:
    """Return the class of the failure, whether a retry may help, and what the user can do."""
    if status in (401, 403):
        name = target.provider.key_env or "the key"
        return ProviderDenied, False, f"check {name}, and that the key may use {target.model}"
    if _is_quota(status, said):
        return ProviderFailed, False, "check the plan and the credit of your account with the provider"
    if status == 413 or (status in (0, 400, 422, 500) and _OVERFLOW.search(said)):
        return (
            ContextOverflow,
            False,
            "shorten the message, start a new session, or lower the session's context window",
        )
    if status == 404:
        return ModelUnknown, False, f"check that {target.provider.name} has a model named {target.model}"
    if status in (429, 529):
        return RateLimited, True, "wait a moment and send the message again"
    if status in (0, 408, 409) or status >= 500:
        return ProviderFailed, True, "send the message again later; the provider has a problem"
    return ProviderFailed, False, "the provider does not accept this request; see its message"


def _data(target: Target, status: int | None, hint: str) -> dict[str, Any]:
    return {
        "provider": target.provider.name,
        "model": target.model,
        "status": status,
        "hint": hint,
    }


def passes(failure: ProviderFailed) -> bool:
    """Return whether a retry in a moment may succeed: after 429, 529, 5xx, or if there was no connection, but
    not if the account lacks credit."""
    if isinstance(failure, ProviderTimeout):
        return _phase(failure) == "connect"
    return isinstance(failure, ProviderUnreachable | RateLimited) or _is_down(failure)


def is_providers(failure: ProviderFailed) -> bool:
    """Return whether the provider's state caused the failure, not the request or the key."""
    if isinstance(failure, ProviderTimeout):
        return _phase(failure) != "total"
    return passes(failure)


def shows_life(failure: ProviderFailed) -> bool:
    """Return whether the provider has answered, even if it refused the request."""
    return failure.data.get("status") is not None or isinstance(failure, ProviderCut)


def is_elsewhere_better(failure: ProviderFailed) -> bool:
    """Return whether another model may answer, because the message did not cause the failure."""
    if isinstance(failure, ContextOverflow):
        return False
    return failure.data.get("status") not in _CONTENT or failure.data.get("reason") == QUOTA


def _phase(failure: ProviderTimeout) -> str:
    return str(failure.data["phase"])


def _is_down(failure: ProviderFailed) -> bool:
    # some providers send a 5xx even if a retry cannot help (an overflow), so the status is not enough
    return failure.retryable and (failure.data.get("status") or 0) >= 500
