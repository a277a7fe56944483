"""Browser logins: a one-time code is exchanged for a cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

CODE_SECONDS = 60.0
COOKIE_SECONDS = 12 * 3600.0
MOST = 256


class Logins:
    """The valid codes and cookies, at most 256 of each. They are in memory only, so a restart invalidates
    them. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._cookies: dict[str, float] = {}

    def issue(self) -> str:
        """Return a new code, which can be used once within 60 seconds."""
        return self._new(self._codes, CODE_SECONDS)

    def redeem(self, code: str) -> str | None:
        """Return a new cookie, valid for 12 hours; None if the code was used, has expired or is unknown."""
        expires = self._codes.pop(code, 0.0)
        return self._new(self._cookies, COOKIE_SECONDS) if expires > self._clock() else None

    def holds(self, cookie: str) -> bool:
        return self._cookies.get(cookie, 0.0) > self._clock()

    def expiry(self, cookie: str) -> float:
        """Return when a valid cookie expires, in seconds of the clock."""
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
