"""Finds out when a usage limit resets, from what a provider or an agent says about it.

Only a time that is said counts; nothing is estimated. Every result is a Unix time in seconds, or None.
`now`: the current Unix time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}  # by the first letter
_PART = (
    r"(\d+(?:\.\d+)?)\s*"
    r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
)
_PARTS = re.compile(_PART, re.IGNORECASE)
# `reset after 20h9m23s` (Gemini), `try again in 2 days 3 hours` (Codex), `retry in 34.07s`
_AFTER = re.compile(
    rf"(?:resets?|retry|try again|available(?: again)?) (?:after|in) ((?:{_PART}[\s,]*(?:and\s+)?)+)",
    re.IGNORECASE,
)
_UNIX = re.compile(r"limit reached\|(\d{10,13})\b")  # Claude Code 1
# `resets 10pm (Europe/Rome)`, `resets Oct 9 at 5:30pm (UTC)`: Claude Code 2
_ON_THE_CLOCK = re.compile(
    r"resets?\s+(?:at\s+)?(?:(?P<month>[A-Z][a-z]{2})[a-z]*\s+(?P<day>\d{1,2})(?:,?\s+at|,)?\s+)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s*(?P<half>[ap]m)\s*\((?P<zone>[A-Za-z0-9_+/-]+)\)"
)
# `try again at 3:12 PM`, `try again at Nov 5th, 2026 3:12 PM`: Codex, in the time of this machine
_AT_LOCAL_TIME = re.compile(
    r"try again at\s+(?:(?P<month>[A-Z][a-z]{2})[a-z]*\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?"
    r"\s+(?P<year>\d{4})\s+)?"
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)\s*(?P<half>[AP]M)"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_TIMES = (
    "X-RateLimit-Reset",
    "resets_at",
    "resetsAt",
    "reset_at",
    "resetAt",
    "resetTime",
    "quotaResetTimeStamp",
)
_SECONDS = ("resets_in_seconds", "resetsInSeconds", "retry_after", "retryAfter", "retryDelay")
_DEPTH = 6


def said_in(text: str, now: float, local: tzinfo | None = None) -> float | None:
    """Return the time that a message names. `local`: the time zone of times without one; None: this
    machine's."""
    if unix := _UNIX.search(text):
        return _unix(float(unix[1]))
    if after := _AFTER.search(text):
        return now + seconds_of(after[1])
    if at := _ON_THE_CLOCK.search(text):
        zone = _zone(at["zone"])
        return None if zone is None else _next(at.groupdict(), zone, now)
    if at := _AT_LOCAL_TIME.search(text):
        return _next(at.groupdict(), local, now)
    return None


def named_in(value: Any, now: float) -> float | None:
    """Return the time that a JSON value has in one of the usual members, at any depth: as a time, as a number
    of seconds to wait, or as a duration such as `34s`. The latest one counts."""
    return max(_named(value, now), default=None)


def in_headers(headers: Mapping[str, str], now: float) -> float | None:
    """Return the time at which the limit that a response reports as used up resets: OpenAI's, Anthropic's,
    Codex's and OpenRouter's headers. The latest one counts."""
    return max(_of_headers(headers, now), default=None)


def seconds_of(duration: str) -> float:
    """Return the seconds in a duration such as `1h2m3.5s` or `2 days 3 hours`; 0 if there are none."""
    return sum(float(number) * _unit(unit) for number, unit in _PARTS.findall(duration))


def _unit(name: str) -> float:
    name = name.lower()
    return 0.001 if name.startswith(("ms", "mil")) else _UNITS[name[0]]


def _unix(number: float) -> float:
    return number / 1000 if number >= 1e11 else number


def _named(value: Any, now: float, depth: int = 0) -> Iterator[float]:
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        for each in value[:20]:
            yield from _named(each, now, depth + 1)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in _TIMES and (at := _time(each)) is not None:
                yield at
            elif name in _SECONDS and (seconds := _wait(each)) is not None:
                yield now + seconds
            else:
                yield from _named(each, now, depth + 1)


def _time(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return _unix(float(value)) if value.replace(".", "", 1).isdecimal() else None
        return at.timestamp() if at.tzinfo is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    return _unix(float(value))


def _wait(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return max(float(value), 0.0)
        except ValueError:
            return seconds_of(value) or None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)


def _of_headers(headers: Mapping[str, str], now: float) -> Iterator[float]:
    lower = {name.lower(): value for name, value in headers.items()}
    for what in ("requests", "tokens"):
        if lower.get(f"x-ratelimit-remaining-{what}") == "0":
            yield from _after(lower.get(f"x-ratelimit-reset-{what}"), now)
    for what in ("requests", "tokens", "input-tokens", "output-tokens"):
        if lower.get(f"anthropic-ratelimit-{what}-remaining") == "0":
            yield from _at(lower.get(f"anthropic-ratelimit-{what}-reset"))
    if lower.get("anthropic-ratelimit-unified-status") == "rejected":
        yield from _at(lower.get("anthropic-ratelimit-unified-reset"))
    for window in ("primary", "secondary"):  # of Codex
        if (_wait(lower.get(f"x-codex-{window}-used-percent")) or 0.0) >= 100:
            yield from _at(lower.get(f"x-codex-{window}-reset-at"))
    if lower.get("x-ratelimit-remaining") == "0":  # OpenRouter
        yield from _at(lower.get("x-ratelimit-reset"))


def _after(value: str | None, now: float) -> Iterator[float]:
    if value and (seconds := _wait(value)):
        yield now + seconds


def _at(value: str | None) -> Iterator[float]:
    if value and (at := _time(value)) is not None:
        yield at


def _zone(name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC if name in ("UTC", "Z") else None


def _next(said: Mapping[str, str | None], zone: tzinfo | None, now: float) -> float | None:
    """Return the next moment at which a clock in the zone shows what was said."""
    base = datetime.fromtimestamp(now, zone) if zone is not None else datetime.fromtimestamp(now).astimezone()
    hour = int(said["hour"] or 0) % 12 + (12 if (said["half"] or "").lower() == "pm" else 0)
    try:
        at = base.replace(hour=hour, minute=int(said["minute"] or 0), second=0, microsecond=0)
        if (month := said["month"]) is None:
            # a limit that resets now is not one of tomorrow
            at = at if at.timestamp() > now - 60 else at + timedelta(days=1)
        else:
            year = int(said.get("year") or base.year)
            at = at.replace(year, _MONTHS.index(month) + 1, int(said["day"] or 0))
            if not said.get("year") and at.timestamp() < now - 86_400:
                at = at.replace(year=base.year + 1)
    except ValueError:
        return None
    return at.timestamp()
