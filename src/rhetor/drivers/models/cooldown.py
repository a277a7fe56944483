"""Stops calling a provider that keeps failing, and tries it with a single call after a cooldown.

`Cooldowns` counts turns, not calls. `Backoff` decides whether, and when, a failed call is repeated.
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

from rhetor.domain.quota import RESETS_AT
from rhetor.drivers.models import errors
from rhetor.drivers.models.target import Provider, Target
from rhetor.drivers.models.verdicts import is_providers, passes, shows_life
from rhetor.errors import ProviderFailed

FAILURES = 3  # turns in a row
FIRST, LONGEST = 30.0, 300.0  # seconds; each cooldown is twice as long as the one before it
LONGEST_ASKED = 3600.0  # seconds; a longer Retry-After is cut to this

log = logging.getLogger(__name__)


class _State(msgspec.Struct):
    """The state of a provider whose last turn failed. `until`: the end of its cooldown, if it has one.
    `trying`: a turn is trying it after the cooldown. `resets_at`: when the usage limit that caused the last
    failure resets, if one did."""

    failures: int = 0
    cooldowns: int = 0
    until: float | None = None
    trying: bool = False
    resets_at: str | None = None


class Cooldowns:
    """The cooldowns of all providers. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # keyed by the whole provider, so that another key or URL starts without failures
        self._states: dict[Provider, _State] = {}

    def admit(self, target: Target, blamed: set[Provider]) -> Admission:
        """Let a turn call the provider within the returned context.

        `blamed`: the providers that this turn has already counted against; the admission adds to it.

        Raises:
            ProviderCooling: the provider is in a cooldown, or another turn is trying it.
        """
        state = self._states.get(target.provider)
        if state is None or state.until is None:
            return Admission(self, target.provider, blamed, trial=False)
        left = state.until - self._clock()
        if left <= 0 and state.resets_at is not None:  # a limit was reset, so nothing has to be tried
            del self._states[target.provider]
            return Admission(self, target.provider, blamed, trial=False)
        if left > 0 or state.trying:
            raise errors.cooling(target, state.failures, max(left, 0.0), state.resets_at)
        state.trying = True
        return Admission(self, target.provider, blamed, trial=True)

    def failed(self, provider: Provider, failure: ProviderFailed, *, trial: bool) -> None:
        """Count a failed turn, and start a cooldown after the third in a row or after a failed trial."""
        state = self._states.setdefault(provider, _State())
        state.resets_at = failure.data.get(RESETS_AT)
        if state.until is not None and not trial:
            return  # the turn began before the cooldown
        state.failures += 1
        if trial or state.failures >= FAILURES:
            self._cool(provider, state, failure.data.get("retry_after"))

    def answered(self, provider: Provider) -> None:
        """Forget the failures of a provider that has answered."""
        self._states.pop(provider, None)

    def given_up(self, provider: Provider) -> None:
        """Note that a trial ended without a result. The next turn is the trial."""
        if state := self._states.get(provider):
            state.trying = False

    def _cool(self, provider: Provider, state: _State, asked: float | None) -> None:
        seconds = min(asked, LONGEST_ASKED) if asked else min(FIRST * 2.0**state.cooldowns, LONGEST)
        state.until = self._clock() + seconds
        state.cooldowns += 1
        state.trying = False
        log.warning("provider paused after failures", extra={"provider": provider.name, "seconds": seconds})


class Admission:
    """A turn's use of one provider. The exception that leaves the context decides how it counts.

    `trial`: the provider was in a cooldown, and this turn tries it with a single call.
    """

    def __init__(
        self, cooldowns: Cooldowns, provider: Provider, blamed: set[Provider], *, trial: bool
    ) -> None:
        self.trial = trial
        self._cooldowns = cooldowns
        self._provider = provider
        self._blamed = blamed

    def begun(self) -> None:
        """Note that an answer begins. That ends a trial, so other turns do not wait for the whole answer."""
        if self.trial:
            self.answered()

    def answered(self) -> None:
        """Note that the provider has answered."""
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
        # a turn counts once, however many of the provider's models it tries
        if self.trial or self._provider not in self._blamed:
            self._blamed.add(self._provider)
            self._cooldowns.failed(self._provider, failure, trial=self.trial)


class Backoff(msgspec.Struct, frozen=True):
    """Decides when a failed call is repeated, with exponential backoff and full jitter. Times are in seconds.

    `retries`: calls after the first one. `first`: the longest first pause; each later one may be twice as
    long. `longest`: if a provider asks for a longer pause, the call is not repeated. `dice` returns a random
    number from 0 up to, but not including, 1.
    """

    retries: int = 2
    first: float = 0.5
    longest: float = 60.0
    dice: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def pause(self, failure: ProviderFailed, made: int) -> float | None:
        """Return the seconds until the next call, after `made` calls; None if the call is not repeated.

        The pause is never shorter than the provider asks for. The jitter starts at 0, so turns that failed at
        the same time do not retry at the same time.
        """
        asked: float = failure.data.get("retry_after", 0.0)
        if made > self.retries or asked > self.longest or not passes(failure):
            return None
        return max(asked, self.dice() * self.first * 2.0 ** (made - 1))
