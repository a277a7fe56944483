"""Formats times for clients. In the hub, a time is an integer: Unix time in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def timestamp(at: int) -> str:
    """Format the time as in RFC 3339, in UTC with milliseconds: `2026-01-31T12:00:00.250Z`."""
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second(at: int) -> str:
    """Format the time to the second. Cached, because events of one second differ only in milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]
