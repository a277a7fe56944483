"""Browser logins: a one-time code is exchanged for a cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

CODE_SECONDS = 60.0
COOKIE_SECONDS = 12 * 3600.0
MOST = 256


class Logins:
    """Codes and cookies, in memory only: a restart invalidates them. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._cookies: dict[str, float] = {}

    def issue(self) -> str:
        """A code that can be used once, for 60 seconds."""
        return self._new(self._codes, CODE_SECONDS)

    def redeem(self, code: str) -> str | None:
        """The cookie for a code; None if the code was used, has expired or is unknown."""
        expires = self._codes.pop(code, 0.0)
        return self._new(self._cookies, COOKIE_SECONDS) if expires > self._clock() else None

    def holds(self, cookie: str) -> bool:
        return self._cookies.get(cookie, 0.0) > self._clock()

    def expiry(self, cookie: str) -> float:
        """When a valid cookie expires, by the clock."""
        return self._cookies[cookie]

    def is_past(self, time: float) -> bool:
        return time <= self._clock()

    def end_all(self) -> None:
        """Invalidate all codes and cookies."""
        self._codes.clear()
        self._cookies.clear()

    def _new(self, kept: dict[str, float], seconds: float) -> str:
        now = self._clock()
        for old in [key for key, expires in kept.items() if expires <= now]:
            del kept[old]
        while len(kept) >= MOST:
            del kept[next(iter(kept))]
        key = secrets.token_urlsafe(32)
        kept[key] = now + seconds
        return key
