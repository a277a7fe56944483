"""Typed errors for failed calls to providers: what happened, and what the user can do about it.

The SDKs, their HTTP library and its transport each have their own errors. Some hide the real cause (a server
that hangs up is reported as a connect timeout), so the first cause in the chain decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rhetor.codec import lenient_json
from rhetor.domain.quota import LEAST_WAIT, RESETS_AT, reset_time
from rhetor.drivers.models.network import ProxyUnsupported
from rhetor.drivers.models.reasons import Reason, reason_of
from rhetor.drivers.models.target import Target
from rhetor.drivers.resets import in_headers, named_in, said_in
from rhetor.errors import (
    ContextOverflow,
    EmptyAnswer,
    HopLimit,
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

# `data["reason"]` if the account has no credit left; only its owner can change that
QUOTA = "quota"

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
    said = reason_of(body)
    asked = retry_after(headers, now)
    resets_at = _reset(status, body, headers, said, now)
    if asked is None and resets_at is not None:
        asked = max(resets_at - now, 0.0)
    failure = _failure(target, status, said, resets=resets_at is not None)
    if asked is not None:
        failure.data["retry_after"] = asked
        if isinstance(failure, RateLimited) and asked * 1000 > LEAST_WAIT:
            failure.data[RESETS_AT] = reset_time(now + asked)
    return failure


def _reset(status: int, body: bytes, headers: Mapping[str, str], said: Reason, now: float) -> float | None:
    """Return when the limit that a 429 reports resets (Unix time), if the response has a time."""
    if status != 429:
        return None
    try:
        value = lenient_json.decode(body)
    except ValueError:
        value = None
    found = (named_in(value, now), in_headers(headers, now), said_in(said.words, now))
    return max((at for at in found if at is not None), default=None)


def failed_in_stream(target: Target, data: bytes) -> ProviderFailed:
    """Return the error for an error event of a stream."""
    said = reason_of(data)
    return _failure(target, _status(said), said)


def not_an_answer(target: Target, body: bytes) -> ProviderFailed:
    """Return the error for a successful response that is neither a stream nor a completion."""
    words = _masked(target, reason_of(body).words)
    hint = f"check that {_shown_url(target)} is the base URL of the provider's API"
    detail = f"{target.provider.name} sent something that is not an answer: {words or 'nothing readable'}"
    return ProviderFailed(_placed(target, detail), **_data(target, None, hint))


def empty(target: Target, reason: str, unknown: str, *, has_calls: bool) -> EmptyAnswer:
    """Return the error for an answer without text. `reason`: why the model finished, as OpenAI names it.
    `unknown`: an event that was not understood."""
    why, hint = _WHY_EMPTY.get(reason, (f"it finished with {reason!r}", "send the message again"))
    if has_calls and reason in ("stop", "tool_calls"):
        why, hint = "it called a tool, but has none", "send the message again, or use another model"
    elif unknown and reason == "stop":
        why = f"the hub does not understand: {_masked(target, ' '.join(unknown.split()))}"
    detail = f"{target.provider.name} gave an answer without text: {why}"
    return EmptyAnswer(_placed(target, detail), finish_reason=reason, **_data(target, None, hint))


_WHY_EMPTY = {
    "stop": ("no reason given", "send the message again, or use another model"),
    "length": ("the limit of tokens was reached first", "shorten the message, or use another model"),
    "content_filter": ("a content filter withheld it", "rephrase the message, or use another model"),
    "refusal": ("the model refused to answer", "rephrase the message, or use another model"),
}


def cut(target: Target, why: str) -> ProviderCut:
    """Return the error for a stream that ended early or became unreadable."""
    detail = f"the answer of {target.provider.name} is incomplete: {_masked(target, why)}"
    again = "send the message again; the partial answer is kept"
    return ProviderCut(_placed(target, detail), retryable=True, **_data(target, None, again))


def timed_out(target: Target, phase: str, seconds: float) -> ProviderTimeout:
    """Return the error for a call that timed out. `phase`: connect, first_chunk, idle or total."""
    data = _data(target, None, f"send the message again, or raise timeouts.{phase}") | {"phase": phase}
    detail = _placed(target, f"{target.provider.name} did not answer in time ({phase}: {seconds:g} s)")
    return ProviderTimeout(detail, retryable=True, **data)


def cooling(target: Target, failures: int, seconds: float, resets_at: str | None = None) -> ProviderCooling:
    """Return the error for a provider in a cooldown. `seconds`: until it is called again; 0 if another turn
    is calling it now. `resets_at`: when the usage limit resets that caused the cooldown, if one did."""
    when = f"will be called again in {seconds:.0f} s" if seconds >= 1 else "is being called again"
    hint = "send the message again then, or set models.fallbacks to other models"
    return ProviderCooling(
        _placed(target, f"{target.provider.name} failed {failures} turns in a row and {when}"),
        retryable=True,
        **_data(target, None, hint) | {"retry_after": round(max(seconds, 1.0), 1)},
        **({RESETS_AT: resets_at} if resets_at else {}),
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
    detail = f"{target.provider.name} cannot be called: {error.detail}"
    hint = error.data.get("hint") or f"correct the URL of {target.provider.name}"
    if error.data.get("private"):
        hint = f"for a private network, set providers.{target.provider.name}.allow_private: true"
    return ModelUnknown(_placed(target, detail), **_data(target, None, hint))


def proxy_unsupported(target: Target, error: ProxyUnsupported) -> ProviderFailed:
    """Return the error for a provider that would be called through a proxy that cannot be used."""
    detail = f"{target.provider.name} cannot be called: {error}"
    hint = f"set {error.variable} to an HTTP proxy, or add {host_of(target)} to NO_PROXY, and restart the hub"
    return ProviderFailed(_placed(target, detail), **_data(target, None, hint))


def unreachable(target: Target, error: Exception) -> ProviderUnreachable:
    """Return the error for a connection that failed, or was closed before any answer."""
    detail = f"{target.provider.name} cannot be reached: {_masked(target, reason(error))}"
    hint = f"check that {_shown_url(target)} is running and reachable from this machine"
    if target.provider.local:
        hint = "send the message again, which starts the model again"
    return ProviderUnreachable(_placed(target, detail), retryable=True, **_data(target, None, hint))


def reason(error: Exception) -> str:
    """Return the message of the first cause of an error, or the name of its class if it has no message."""
    cause = _causes(error)[-1]
    return " ".join(str(cause).split()) or type(cause).__name__


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
    from email.utils import parsedate_to_datetime  # dates are rare, and the import is large

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _status(said: Reason) -> int:
    code = (
        int(said.code)
        if isinstance(said.code, str) and re.fullmatch("[45][0-9][0-9]", said.code)
        else said.code
    )
    if isinstance(code, int):
        return code if 400 <= code < 600 else 0
    return _STATUS.get(code) or _STATUS.get(said.type) or 0


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e6 else None


def _failure(target: Target, status: int, said: Reason, *, resets: bool = False) -> ProviderFailed:
    """Return the error. `resets`: the response says when its limit ends, so it is no matter of credit."""
    if said.code == HopLimit.code:  # the provider is a hub; each hop on the way back says it once more
        about = {**_data(target, status or None, ""), "reason": HopLimit.code}
        return ProviderFailed(_masked(target, said.words), retryable=False, **about)
    names = f"{said.words} {said.type} {said.code}"
    kind, retryable, hint = _condition(target, status, "" if resets else names)
    reason = {"reason": QUOTA} if _is_quota(status, names) and not resets else {}
    words = said.words or said.type or str(said.code) or "no reason given"
    detail = f"{target.provider.name} refused the request: {_masked(target, words)}"
    return kind(
        _placed(target, detail, status), retryable=retryable, **_data(target, status or None, hint), **reason
    )


def _masked(target: Target, words: str) -> str:
    """Return the words without the key, which some providers include in their messages."""
    return words.replace(target.provider.key, "[key]") if target.provider.key else words


def _placed(target: Target, detail: str, status: int = 0) -> str:
    """Return the detail followed by the status, the model and the host of the provider's URL."""
    model = "" if target.model == "*" else f"{target.model} "
    return f"{detail} ({f'{status}, ' if status else ''}{model}at {host_of(target)})"


def host_of(target: Target) -> str:
    """Return the host of the provider's URL, with its port if it has one."""
    return urlsplit(target.provider.base_url).netloc.rpartition("@")[2] or target.provider.base_url


def _shown_url(target: Target) -> str:
    """Return the provider's URL without credentials."""
    return target.provider.base_url.replace(urlsplit(target.provider.base_url).netloc, host_of(target))


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
        "host": host_of(target),
        "status": status,
        "hint": hint,
    }
