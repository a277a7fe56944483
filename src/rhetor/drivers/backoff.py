"""How long to wait before a call is made again: exponential backoff with full jitter, and Retry-After."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rhetor.drivers.remedies import passes
from rhetor.errors import ProviderFailed


@dataclass(frozen=True, slots=True)
class Backoff:
    """`retries`: calls after the first one. `first`: seconds that the first pause lasts at most; each later
    one twice as much. `longest`: seconds; who asks for more time gets no second call in this turn.

    `dice` gives a number from 0 to below 1; `sleep` waits for so many seconds.
    """

    retries: int = 2
    first: float = 0.5
    longest: float = 60.0
    dice: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def pause(self, failure: ProviderFailed, made: int) -> float | None:
        """Seconds until the next call, after `made` of them; None: there is none.

        Never less than the provider asks for. The jitter is full (from 0 on), so that turns which failed
        together do not come back together.
        """
        asked: float = failure.data.get("retry_after", 0.0)
        if made > self.retries or asked > self.longest or not passes(failure):
            return None
        return max(asked, self.dice() * self.first * 2.0 ** (made - 1))
