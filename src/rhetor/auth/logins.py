"""Logins of browsers: which cookie belongs to which login, and whether it is still valid."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from rhetor.domain.identity import COOKIE, LOGIN, Identities, Login, digest_of

from .access_tokens import Fetch, fetch_nothing
from .one_time_codes import Codes, Requested

COOKIE_SECONDS = 12 * 3600.0
COOKIE_BYTES = 32
MOST_AGENT = 200  # characters of a browser's description of itself


def unix_milliseconds() -> int:
    return time.time_ns() // 1_000_000


class Logins:
    """The logins in `identities`, and the codes with which browsers log in. `clock` returns monotonic
    seconds, so setting the machine's clock ends no login that is in use; `now` returns Unix time in
    milliseconds. `fetch` reads rows that another node may have just written."""

    def __init__(
        self,
        identities: Identities | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = unix_milliseconds,
    ) -> None:
        self.identities = identities or Identities()
        self.clock = clock
        self._now = now
        self.codes = Codes(lambda: self.clock())
        self.fetch: Fetch = fetch_nothing
        self._ends: dict[str, float] = {}
        self._granted: dict[str, Callable[[], bool]] = {}
        self._used: dict[str, int] = {}

    def find_code(self, text: str) -> Requested | None:
        """Return what a code gives, which stays valid; None if it was used, has expired or is unknown, or the
        login that requested it has ended."""
        found = self.codes.find(text)
        if found is None or not found.by:
            return found
        return found if any(login.id == found.by for login in self.identities.logins.values()) else None

    def begin(self, requested: Requested, host: str, address: str, user_agent: str) -> tuple[str, Login]:
        """Return a new cookie for a code that was used, and its login, which lasts at most 12 hours. It is
        valid when it is among `identities` and was given to `keep`. `host`: the name that the cookie belongs
        to. `address` and `user_agent`: of the browser."""
        cookie, now = secrets.token_urlsafe(COOKIE_BYTES), self._now()
        digest = digest_of(cookie)
        expires = now + round(COOKIE_SECONDS * 1000)
        login = Login(
            f"l_{secrets.token_hex(8)}",
            digest,
            requested.subject,
            tuple(sorted(requested.scopes)),
            host,
            now,
            expires if requested.until is None else min(expires, requested.until),
            _credential(requested.credential),
            requested.parent,
            requested.by,
            address,
            "".join(char for char in user_agent if char.isprintable())[:MOST_AGENT],
        )
        return cookie, login

    def keep(self, login: Login, is_granted: Callable[[], bool]) -> None:
        """Keep a new login until it expires, or until `is_granted` returns that the token with which it was
        requested is no longer valid."""
        known = self.identities.logins
        for digest in self._ends.keys() - known.keys():
            for kept in (self._ends, self._granted, self._used):
                kept.pop(digest, None)
        self._ends[login.digest] = self.clock() + (login.expires - login.at) / 1000
        self._granted[login.digest] = is_granted

    async def look_up(self, cookie: str) -> None:
        """Read the login of a cookie if it is not in memory: another node may have begun it a moment ago."""
        if (digest := digest_of(cookie)) not in self.identities.logins:
            await self.fetch([(LOGIN, digest)])

    def of(self, cookie: str, host: str) -> Login | None:
        """Return the login of a cookie that a browser has sent to this host name; None if it is invalid
        there. The login counts as used now."""
        login = self.identities.logins.get(digest_of(cookie))
        if login is None or login.host != host or not self.is_valid(login):
            return None
        self._used[login.digest] = self._now()
        return login

    def is_valid(self, login: Login) -> bool:
        return not self.has_expired(login) and self.is_granted(login)

    def is_granted(self, login: Login) -> bool:
        """Return whether a login was neither ended nor revoked."""
        digest = login.digest
        granted = self._granted.get(digest)
        known = digest in self.identities.logins and self.identities.is_backed(login, self._now())
        return known and (granted is None or granted())

    def has_expired(self, login: Login) -> bool:
        """Return whether the time of a login is over."""
        ends = self._ends.get(login.digest)
        if ends is None:  # it is of an earlier process
            ends = self._ends[login.digest] = self.clock() + (login.expires - self._now()) / 1000
        return ends <= self.clock()

    def grant_of(self, login: Login) -> Callable[[], bool]:
        """Return whether the token is still valid with which a login was requested. That the login itself
        ends does not count."""
        return self._granted.get(login.digest, lambda: self.identities.is_backed(login, self._now()))

    def used_at(self, login: Login) -> int | None:
        """Return when the login was last used in this process, as Unix time in milliseconds; None if it was
        not."""
        return self._used.get(login.digest)


def _credential(of_caller: str) -> str:
    """Return `cookie NAME` for a login that was requested with a named token, and `cookie` for another."""
    named = of_caller.removeprefix(COOKIE)
    return f"{COOKIE}{named}" if " " in named else COOKIE.strip()
