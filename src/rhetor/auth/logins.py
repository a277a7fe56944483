"""How a browser gets in: a code that works once becomes a cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

CODE_SECONDS = 60.0
COOKIE_SECONDS = 12 * 3600.0
MOST = 256


class Logins:
    """Codes and cookies in memory: a restart ends them all. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._cookies: dict[str, float] = {}

    def issue(self) -> str:
        """A code that can be used once, for 60 seconds."""
        return self._new(self._codes, CODE_SECONDS)

    def redeem(self, code: str) -> str | None:
        """The cookie for a code; None where the code was used, is too old, or never was."""
        expires = self._codes.pop(code, 0.0)
        return self._new(self._cookies, COOKIE_SECONDS) if expires > self._clock() else None

    def holds(self, cookie: str) -> bool:
        return self._cookies.get(cookie, 0.0) > self._clock()

    def expiry(self, cookie: str) -> float:
        """When a cookie that holds will hold no longer, by the clock."""
        return self._cookies[cookie]

    def is_past(self, time: float) -> bool:
        return time <= self._clock()

    def end_all(self) -> None:
        """No code and no cookie that was given opens anything any more."""
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
