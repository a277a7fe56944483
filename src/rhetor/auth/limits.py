"""Limits on how often a caller may do something within 60 seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rhetor.errors import RhetorError, TooManyAttempts

WINDOW_SECONDS = 60.0
MOST_CALLERS = 10_000
ATTEMPTS = 5


class MovingWindow:
    """Allows at most `per_minute` events in any 60 seconds for each name. It remembers 10,000 names, and then
    forgets the least recently used one."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._begun: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        """Return how many names are remembered."""
        return len(self._begun)

    def wait(self, name: str, now: float) -> float:
        """Return the seconds until the next event is allowed, 0 if it is allowed now. `now`: monotonic
        seconds."""
        begun = self._recent(name, now)
        return 0.0 if len(begun) < self.per_minute else begun[-self.per_minute] + WINDOW_SECONDS - now

    def note(self, name: str, now: float) -> None:
        """Count an event. `now`: monotonic seconds."""
        begun = self._recent(name, now)
        begun.append(now)
        if len(begun) > self.per_minute:
            begun.popleft()
        self._begun[name] = begun
        if len(self._begun) > MOST_CALLERS:
            del self._begun[next(iter(self._begun))]

    def _recent(self, name: str, now: float) -> deque[float]:
        begun = self._begun.pop(name, None) or deque()
        while begun and begun[0] <= now - WINDOW_SECONDS:
            begun.popleft()
        if begun:
            self._begun[name] = begun
        return begun


class Attempts(MovingWindow):
    """Counts wrong credentials by address. Valid credentials are never counted, and never rejected because of
    wrong ones. `noted` is called with each wrong one: its address, and the error."""

    def __init__(self, per_minute: int = ATTEMPTS) -> None:
        super().__init__(per_minute)
        self.noted: Callable[[str, RhetorError], None] = lambda address, error: None

    def failed(self, address: str, error: RhetorError, now: float) -> RhetorError:
        """Count a wrong credential and return `error`. If the address has reached its limit, return
        TooManyAttempts instead, without counting."""
        wait = self.wait(address, now)
        if not wait:
            self.note(address, now)
        self.noted(address, error)
        return TooManyAttempts(self.per_minute, wait) if wait else error
