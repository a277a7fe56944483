"""Providers that keep failing are left alone for a while, and then tried with a single call.

It counts turns, not calls, and knows neither what is called nor what is done instead.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import msgspec

from rhetor.drivers.models import errors
from rhetor.drivers.models.errors import is_providers, passes, shows_life
from rhetor.drivers.models.target import Provider, Target
from rhetor.errors import ProviderFailed

FAILURES = 3  # turns in a row
FIRST, LONGEST = 30.0, 300.0  # seconds; each cooldown is twice as long as the one before it
LONGEST_ASKED = 3600.0  # seconds of a Retry-After that are believed

log = logging.getLogger(__name__)


class _State(msgspec.Struct):
    """Of a provider whose last turn failed. `until`: None while it is asked as ever. `trying`: a turn is
    finding out whether it is back."""

    failures: int = 0
    cooldowns: int = 0
    until: float | None = None
    trying: bool = False


class Cooldowns:
    """`clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # no entry: nothing is wrong. By the whole provider, so that another key or URL starts afresh
        self._states: dict[Provider, _State] = {}

    def admit(self, target: Target, blamed: set[Provider]) -> Admission:
        """Let a turn ask the provider; for as long as it does, the admission is entered.

        `blamed`: those that this turn has counted against already; it is added to.

        Raises:
            ProviderCooling: it is left alone, or another turn tries it just now.
        """
        state = self._states.get(target.provider)
        if state is None or state.until is None:
            return Admission(self, target.provider, blamed, trial=False)
        left = state.until - self._clock()
        if left > 0 or state.trying:
            raise errors.cooling(target, state.failures, max(left, 0.0))
        state.trying = True
        return Admission(self, target.provider, blamed, trial=True)

    def failed(self, provider: Provider, failure: ProviderFailed, *, trial: bool) -> None:
        """Count a turn against a provider."""
        state = self._states.setdefault(provider, _State())
        if state.until is not None and not trial:
            return  # a turn from before the cooldown, which knows nothing new
        state.failures += 1
        if trial or state.failures >= FAILURES:
            self._cool(provider, state, failure.data.get("retry_after"))

    def answered(self, provider: Provider) -> None:
        """It works: whatever was wrong is over."""
        self._states.pop(provider, None)

    def given_up(self, provider: Provider) -> None:
        """A trial ended without a result: the next turn is the trial."""
        if state := self._states.get(provider):
            state.trying = False

    def _cool(self, provider: Provider, state: _State, asked: float | None) -> None:
        seconds = min(asked, LONGEST_ASKED) if asked else min(FIRST * 2.0**state.cooldowns, LONGEST)
        state.until = self._clock() + seconds
        state.cooldowns += 1
        state.trying = False
        log.warning("provider cools down", extra={"provider": provider.name, "seconds": seconds})


class Admission:
    """One turn's dealing with one provider; how it ends is taken from the exception that leaves it.

    `trial`: the provider was cooling, and this turn decides; it gets a single call.
    """

    def __init__(
        self, cooldowns: Cooldowns, provider: Provider, blamed: set[Provider], *, trial: bool
    ) -> None:
        self.trial = trial
        self._cooldowns = cooldowns
        self._provider = provider
        self._blamed = blamed

    def begun(self) -> None:
        """An answer begins: that is all that a trial has to show, and others need not wait for its end."""
        if self.trial:
            self.answered()

    def answered(self) -> None:
        """The provider has done its part."""
        self.trial = False
        self._cooldowns.answered(self._provider)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ProviderFailed) and is_providers(error):
            self._count(error)
        elif isinstance(error, ProviderFailed) and shows_life(error):
            self.answered()
        elif self.trial:
            self._cooldowns.given_up(self._provider)

    def _count(self, failure: ProviderFailed) -> None:
        # a turn counts once, however many of the provider's models it asks
        if self.trial or self._provider not in self._blamed:
            self._blamed.add(self._provider)
            self._cooldowns.failed(self._provider, failure, trial=self.trial)


class Backoff(msgspec.Struct, frozen=True):
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
