"""What providers say when they refuse, as typed errors: with what happened, and what the user can do.

The SDKs, their HTTP library and its transport each have errors of their own, and the transport reports some
under a wrong name (a server that hangs up becomes a connect time-out), so the first cause is looked at.
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

# what a provider says of a request that no other model would take either
_CONTENT = frozenset({400, 413, 422})

# `data["reason"]` of a failure that only the account's owner can end: its credit is used up
QUOTA = "quota"

_MAX_WORDS = 500  # characters of a provider's own words that are kept

_OVERFLOW = re.compile(
    r"prompt is too long|maximum context length|context_length_exceeded|context (?:window|size|limit)",
    re.IGNORECASE,
)
_BILLING = re.compile(r"insufficient_quota|exceeded your current quota|credit balance|billing", re.IGNORECASE)

# an error in mid-stream has no status, but a type (Anthropic) or a code (OpenAI)
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
    """The two dialects' error object; OpenRouter puts the status into `code`."""

    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error | str = ""


def of_call(target: Target, error: Exception, connect: float, now: float) -> ProviderFailed:
    """The error for a call that got no answer to read: refused, not reached, or (`connect` seconds) too late.

    `now`: Unix time, for a Retry-After that is a date.
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
    """The error for an answer other than 2xx."""
    failure = _failure(target, status, *_words(body))
    if (seconds := retry_after(headers, now)) is not None:
        failure.data["retry_after"] = seconds
    return failure


def failed_in_stream(target: Target, data: bytes) -> ProviderFailed:
    """The error for an error event of a stream."""
    words, error = _words(data)
    return _failure(target, _status(error), words, error)


def cut(target: Target, why: str) -> ProviderCut:
    """The error for a stream that ended, or became unreadable, before its proper end."""
    return ProviderCut(
        f"{target.provider.name} broke off: {why}",
        retryable=True,
        **_data(target, None, "ask again; what was said until then is kept"),
    )


def timed_out(target: Target, phase: str, seconds: float) -> ProviderTimeout:
    """The error for a wait that was too long. `phase`: connect, first_chunk, idle or total."""
    data = _data(target, None, f"ask again, or raise timeouts.{phase}") | {"phase": phase}
    return ProviderTimeout(
        f"{target.provider.name} did not answer in time ({phase}: {seconds:g} s)", retryable=True, **data
    )


def cooling(target: Target, failures: int, seconds: float) -> ProviderCooling:
    """The error for a provider that is left alone. `seconds`: until it is tried again; 0 where another turn
    does that now."""
    when = f"is tried again in {seconds:.0f} s" if seconds >= 1 else "is being tried again"
    hint = "ask again then, or name other models in models.fallbacks"
    return ProviderCooling(
        f"{target.provider.name} failed {failures} turns in a row and {when}",
        retryable=True,
        **_data(target, None, hint) | {"retry_after": round(max(seconds, 1.0), 1)},
    )


def not_found_in_time(ref: str | None, phase: str) -> ProviderTimeout:
    """The error for a search for a model that took all the time that the turn had."""
    hint = "ask again, or name a model in models.default"
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
    """The error for a URL that may not be called."""
    hint = "an address in a private network needs an entry under providers with allow_private: true"
    detail = f"{target.provider.name} cannot be called: {error.detail}"
    return ModelUnknown(detail, **_data(target, None, hint))


def unreachable(target: Target, error: Exception) -> ProviderUnreachable:
    """The error for a connection that did not come about, or was closed before any answer."""
    return ProviderUnreachable(
        f"{target.provider.name} cannot be reached: {reason(error)}",
        retryable=True,
        **_data(target, None, f"see whether {target.provider.base_url} is up and can be reached from here"),
    )


def reason(error: Exception) -> str:
    """What an error goes back to, in words."""
    cause = _causes(error)[-1]
    return str(cause) or type(cause).__name__


def _causes(error: Exception) -> list[Exception]:
    """An error and what it came from, in turn."""
    causes = [error]
    while isinstance(cause := causes[-1].__cause__, Exception):
        causes.append(cause)
    return causes


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait as the provider asks for (RFC 9110, 10.2.3), None where it does not."""
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
    """The provider's words, and its error object where the body has one."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        # a relay's page of HTML, or nothing: no words that help
        return "", _Error()
    error = _Error(error) if isinstance(error, str) else error
    return " ".join(error.message.split())[:_MAX_WORDS], error


def _failure(target: Target, status: int, words: str, error: _Error) -> ProviderFailed:
    said = f"{words} {error.type} {error.code}"
    kind, retryable, hint = _condition(target, status, said)
    reason = {"reason": QUOTA} if _is_quota(status, said) else {}
    # some providers repeat the key that they refuse
    told = words.replace(target.provider.key, "[key]") if target.provider.key else words
    detail = f"{target.provider.name} refused: {told or 'it gave no reason'}" + (
        f" ({status})" if status else ""
    )
    return kind(detail, retryable=retryable, **_data(target, status or None, hint), **reason)


def _is_quota(status: int, said: str) -> bool:
    return status == 402 or (status in (400, 429) and bool(_BILLING.search(said)))


def _condition(target: Target, status: int, said: str) -> tuple[type[ProviderFailed], bool, str]:
    """What class of failure it is, whether asking again may help, and what the user can do."""
    if status in (401, 403):
        name = target.provider.key_env or "the key"
        return ProviderDenied, False, f"check {name}, and that it may use {target.model}"
    if _is_quota(status, said):
        return ProviderFailed, False, "check the plan and the credit of the provider's account"
    if status == 413 or (status in (0, 400, 422, 500) and _OVERFLOW.search(said)):
        return ContextOverflow, False, "shorten the message, start a new session, or lower its context window"
    if status == 404:
        return ModelUnknown, False, f"check that {target.provider.name} has a model {target.model}"
    if status in (429, 529):
        return RateLimited, True, "wait a little and ask again"
    if status in (0, 408, 409) or status >= 500:
        return ProviderFailed, True, "ask again later; the fault is the provider's"
    return ProviderFailed, False, "the provider does not take such a request; see its words"


def _data(target: Target, status: int | None, hint: str) -> dict[str, Any]:
    return {
        "provider": target.provider.name,
        "model": target.model,
        "status": status,
        "hint": hint,
    }


def passes(failure: ProviderFailed) -> bool:
    """Whether it may pass in a moment: 429, 529, 5xx, or no connection. An account without credit is none."""
    if isinstance(failure, ProviderTimeout):
        return _phase(failure) == "connect"
    return isinstance(failure, ProviderUnreachable | RateLimited) or _is_down(failure)


def is_providers(failure: ProviderFailed) -> bool:
    """Whether it tells something about the provider's state, and not about the request or the key."""
    if isinstance(failure, ProviderTimeout):
        return _phase(failure) != "total"
    return passes(failure)


def shows_life(failure: ProviderFailed) -> bool:
    """Whether the provider answers, be it with a refusal."""
    return failure.data.get("status") is not None or isinstance(failure, ProviderCut)


def is_elsewhere_better(failure: ProviderFailed) -> bool:
    """Whether another model may answer: whatever is wrong, it is not the message."""
    if isinstance(failure, ContextOverflow):
        return False
    return failure.data.get("status") not in _CONTENT or failure.data.get("reason") == QUOTA


def _phase(failure: ProviderTimeout) -> str:
    return str(failure.data["phase"])


def _is_down(failure: ProviderFailed) -> bool:
    # some say in a 5xx what no repetition changes (an overflow), so the status alone does not tell
    return failure.retryable and (failure.data.get("status") or 0) >= 500
