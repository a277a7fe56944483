"""What a provider's failure calls for: the same call again, another model, or neither.

It only looks at failures; who makes the next call is said in `answering`.
"""

from __future__ import annotations

from rhetor.drivers.provider_errors import QUOTA
from rhetor.errors import (
    ContextOverflow,
    ProviderCut,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)

# what a provider says of a request that no other model would take either
_CONTENT = frozenset({400, 413, 422})


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
