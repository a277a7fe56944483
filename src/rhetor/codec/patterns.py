"""Regular expressions of users, searched in time that grows only linearly with the text (RE2).

The event loop may search them: `re` of the standard library needs exponential time for some patterns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

MAX_PATTERN = 1000  # characters
MAX_MEMORY = 1 << 20  # bytes, of one compiled pattern


class InvalidPattern(ValueError):
    """The pattern cannot be used; the message says why."""


class Pattern:
    """A regular expression in the syntax of RE2: that of `re`, without backreferences and lookarounds.

    Raises:
        InvalidPattern: the pattern is invalid, has more than 1,000 characters, or needs too much memory.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN:
            raise InvalidPattern(f"it has more than {MAX_PATTERN} characters")
        re2 = _engine()
        options = re2.Options()
        options.log_errors = False
        options.max_mem = MAX_MEMORY
        try:
            self._search = re2.compile(text, options).search
        except re2.error as error:
            raise InvalidPattern(_reason(error)) from None

    def found_in(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in the text."""
        return self._search(text) is not None


@lru_cache(maxsize=128)
def pattern(text: str) -> Pattern:
    """Return the compiled pattern.

    Raises:
        InvalidPattern: as for `Pattern`.
    """
    return Pattern(text)


def _engine() -> Any:
    try:
        import re2  # type: ignore[import-untyped]  # imported only if there is a pattern
    except ImportError:
        raise InvalidPattern("patterns need the package google-re2, which is not installed") from None
    return re2


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
