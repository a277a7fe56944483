"""Browser logins: a one-time code is exchanged for a cookie."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from msgspec import Struct

CODE_SECONDS = 60.0
COOKIE_SECONDS = 12 * 3600.0
MOST = 256


class Login(Struct, frozen=True):
    """Who logs in with a code: the caller who requested it, with the same rights. `credential`: that of the
    caller, as in `Principal.credential`. `is_granted`: whether the token that it was requested with has not
    been revoked."""

    subject: str
    scopes: frozenset[str]
    credential: str = ""
    is_granted: Callable[[], bool] = lambda: True


Kept = dict[str, tuple[float, Login]]  # when it expires, and for whom it is


class Logins:
    """The valid codes and cookies, at most 256 of each for a subject. They are in memory only, so a restart
    invalidates them. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: Kept = {}
        self._cookies: Kept = {}

    def issue(self, login: Login) -> str:
        """Return a new code, which can be used once within 60 seconds."""
        return self._new(self._codes, CODE_SECONDS, login)

    def redeem(self, code: str) -> str | None:
        """Return a new cookie, valid for 12 hours; None if the code was used, has expired or is unknown."""
        expires, login = self._codes.pop(code, (0.0, None))
        if login is None or expires <= self._clock() or not login.is_granted():
            return None
        return self._new(self._cookies, COOKIE_SECONDS, login)

    def of(self, cookie: str) -> Login | None:
        """Return whose cookie it is, or None if it is invalid."""
        expires, login = self._cookies.get(cookie, (0.0, None))
        return login if login is not None and expires > self._clock() and login.is_granted() else None

    def expiry(self, cookie: str) -> float:
        """Return when a valid cookie expires, in seconds of the clock."""
        return self._cookies[cookie][0]

    def is_past(self, time: float) -> bool:
        return time <= self._clock()

    def end_all(self) -> None:
        """Invalidate all codes and cookies."""
        self._codes.clear()
        self._cookies.clear()

    def _new(self, kept: Kept, seconds: float, login: Login) -> str:
        now = self._clock()
        for old in [key for key, (expires, _) in kept.items() if expires <= now]:
            del kept[old]
        own = [key for key, (_, known) in kept.items() if known.subject == login.subject]
        for old in own[: max(0, len(own) + 1 - MOST)]:
            del kept[old]
        key = secrets.token_urlsafe(32)
        kept[key] = now + seconds, login
        return key
