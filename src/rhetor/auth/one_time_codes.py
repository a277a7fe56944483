"""One-time codes, each of which logs in one browser within a minute. A person can type one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from msgspec import Struct

CODE_SECONDS = 60.0
MOST_OF_SUBJECT = 256
# 80 bits, in the alphabet of Crockford's Base32: of letters that look alike, it has one
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH, GROUP = 16, 4
_READ_AS = str.maketrans("OIL", "011", "- ")


class Requested(Struct, frozen=True):
    """What a code gives: the subject and the scopes of the caller that requested it.

    `credential`: that of the caller, as in `Principal.credential`. `parent` and `by`: as in `Login`.
    `until`: when the login ends at the latest, as Unix time in milliseconds; None for the usual time.
    `by_network`: a device on the network uses the code, and no browser on this machine. `is_granted`: whether
    the token that it was requested with has not been revoked.
    """

    subject: str
    scopes: frozenset[str]
    credential: str = ""
    parent: str = ""
    by: str = ""
    until: int | None = None
    by_network: bool = False
    is_granted: Callable[[], bool] = lambda: True


class Codes:
    """The valid codes, at most 256 of each subject. They are in memory only. `clock` returns monotonic
    seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._issued: dict[str, tuple[float, Requested]] = {}

    def __len__(self) -> int:
        return len(self._issued)

    def issue(self, requested: Requested) -> str:
        """Return a new code, which can be used once within 60 seconds."""
        now, issued = self.clock(), self._issued
        for old in [code for code, (expires, _) in issued.items() if expires <= now]:
            del issued[old]
        own = [code for code, (_, known) in issued.items() if known.subject == requested.subject]
        for old in own[: max(0, len(own) + 1 - MOST_OF_SUBJECT)]:
            del issued[old]
        code = new_code()
        issued[code] = now + CODE_SECONDS, requested
        return code

    def find(self, text: str) -> Requested | None:
        """Return what a code gives, which stays valid; None if it was used, has expired or is unknown.
        `text`: in upper or lower case, with or without hyphens."""
        expires, requested = self._issued.get(normal(text), (0.0, None))
        if requested is None or expires <= self.clock() or not requested.is_granted():
            return None
        return requested

    def use(self, text: str) -> Requested | None:
        """Do the same as `find`, and make the code invalid."""
        found = self.find(text)
        self._issued.pop(normal(text), None)
        return found

    def forget_all(self) -> None:
        self._issued.clear()


def written(code: str) -> str:
    """Return a code as a person reads and types it."""
    return "-".join(code[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def normal(text: str) -> str:
    """Return a code as `new_code` returned it, from what a person has typed."""
    return text.upper().translate(_READ_AS)
