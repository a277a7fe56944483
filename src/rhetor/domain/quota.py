"""Usage limits that reset at a known time: which times count, and what follows when a turn meets one.

Times are Unix times in milliseconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .timestamps import timestamp

RESETS_AT = "resets_at"  # in the data of a failure: when the limit ends, in RFC 3339
ASK, CONTINUE, HANDOVER = "ask", "continue", "handover:"  # values of `on_pause`; a name follows the last one
# A provider that asks for a shorter wait has a rate limit, not a quota: the call is repeated, or fails.
LEAST_WAIT = 60_000
# A time that has passed by less is the provider's clock, which differs from ours.
CLOCK_SKEW = 300_000
MOST_WAIT = 400 * 86_400_000  # limits of a year exist, longer ones do not
_MILLISECONDS_FROM = 100_000_000_000  # a Unix time that is larger is in milliseconds


def reset_time(at: Any) -> str | None:
    """Return a provider's Unix time (in seconds, or in milliseconds) or RFC 3339 time in RFC 3339; None if
    it is not a time."""
    if isinstance(at, str):
        at = _seconds_of(at)
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 < at < 1e14:
        return None
    seconds = at / 1000 if at >= _MILLISECONDS_FROM else at
    return timestamp(int(seconds * 1000))


def paused_until(resets_at: Any, now: int) -> int | None:
    """Return until when a turn pauses for a limit that resets at `resets_at` (RFC 3339). None: this is no
    time to wait for, because it has passed, or is more than `MOST_WAIT` ahead.

    A time that has just passed may be one of a clock that differs from ours: it counts as `LEAST_WAIT` from
    now, so that the peer is not called again and again.
    """
    seconds = _seconds_of(resets_at) if isinstance(resets_at, str) else None
    if seconds is None:
        return None
    at = int(seconds * 1000)
    if at < now - CLOCK_SKEW or at > now + MOST_WAIT:
        return None
    return at if at > now else now + LEAST_WAIT


def shown_time(at: int) -> str:
    """Return a time for a person, to the minute: `2026-01-31 12:00 UTC`."""
    return f"{timestamp(at)[:16].replace('T', ' ')} UTC"


def _seconds_of(text: str) -> float | None:
    """Return the Unix time of an RFC 3339 time, or of a number of seconds or milliseconds as text."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo is not None else None
