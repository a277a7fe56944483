"""What follows from a failure: whether to call again, to try another model, or to pause the provider."""

from __future__ import annotations

from rhetor.drivers.models.errors import QUOTA
from rhetor.errors import (
    ContextOverflow,
    EmptyAnswer,
    ProviderCut,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)

# the statuses of requests that no other model would accept either
_CONTENT = frozenset({400, 413, 422})


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
    return failure.data.get("status") is not None or isinstance(failure, ProviderCut | EmptyAnswer)


def is_elsewhere_better(failure: ProviderFailed) -> bool:
    """Return whether another model may answer, because the message did not cause the failure."""
    if isinstance(failure, ContextOverflow):
        return False
    if isinstance(failure, EmptyAnswer):
        return failure.data.get("finish_reason") not in ("content_filter", "refusal")
    return failure.data.get("status") not in _CONTENT or failure.data.get("reason") == QUOTA


def _phase(failure: ProviderTimeout) -> str:
    return str(failure.data["phase"])


def _is_down(failure: ProviderFailed) -> bool:
    # some providers send a 5xx even if a retry cannot help (an overflow), so the status is not enough
    return failure.retryable and (failure.data.get("status") or 0) >= 500
