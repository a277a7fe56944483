"""How often a caller may do something in any minute."""

from __future__ import annotations

from collections import deque

from rhetor.errors import RhetorError, TooManyAttempts, Unauthenticated

WINDOW_SECONDS = 60.0
MOST_CALLERS = 10_000
ATTEMPTS = 5


class MovingWindow:
    """At most `per_minute` events in any 60 seconds for each name. If there are too many names, the oldest
    are forgotten."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._begun: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        """How many names are remembered."""
        return len(self._begun)

    def wait(self, name: str, now: float) -> float:
        """Seconds until the next event is allowed; 0 if it is allowed now. `now`: of a monotonic clock."""
        begun = self._recent(name, now)
        return 0.0 if len(begun) < self.per_minute else begun[-self.per_minute] + WINDOW_SECONDS - now

    def note(self, name: str, now: float) -> None:
        """Count an event."""
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
    """Wrong credentials by address. Valid ones are never counted, and never rejected because of others."""

    def __init__(self, per_minute: int = ATTEMPTS) -> None:
        super().__init__(per_minute)

    def failed(self, address: str, error: Unauthenticated, now: float) -> RhetorError:
        """The error for a wrong credential: `error`, or TooManyAttempts."""
        if wait := self.wait(address, now):
            return TooManyAttempts(self.per_minute, wait)
        self.note(address, now)
        return error
