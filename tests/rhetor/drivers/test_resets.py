"""When a usage limit resets, as providers and agents say it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from rhetor.drivers.resets import in_headers, named_in, said_in

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0


def at(*parts: int, zone: str = "UTC") -> float:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("said", "time"),
    [
        ("Claude AI usage limit reached|1772380800", 1772380800.0),
        (
            "You've hit your limit · resets 10pm (America/New_York)",
            at(2026, 3, 1, 22, zone="America/New_York"),
        ),
        (
            "You're out of extra usage · resets 4:50am (Europe/Rome)",
            at(2026, 3, 2, 4, 50, zone="Europe/Rome"),
        ),
        ("You've hit your weekly limit · resets Mar 5 at 5pm (UTC)", at(2026, 3, 5, 17)),
        ("Weekly limit reached · resets Jan 2, 9am (UTC)", at(2027, 1, 2, 9)),
        ("You've hit your usage limit. Upgrade to Pro or try again at 3:12 PM.", at(2026, 3, 1, 15, 12)),
        (
            "You've hit your usage limit. Try again later or try again at Mar 5th, 2026 9:05 AM.",
            at(2026, 3, 5, 9, 5),
        ),
        ("or try again in 5 days 22 hours 11 minutes.", NOW + 5 * 86_400 + 22 * HOUR + 660),
        ("Your quota will reset after 20h9m23s.", NOW + 20 * HOUR + 563),
        ("Please retry in 34.07s.", NOW + 34.07),
        ("Rate limit reached … Please try again in 1m30.5s.", NOW + 90.5),
        ("Please try again in 250ms.", NOW + 0.25),
        ("try again in 3 months", None),
        ("try again in a moment", None),
        ("resets 10pm (Nowhere/City)", None),
        ("resets Feb 31 at 5pm (UTC)", None),
        ("the limit resets soon", None),
    ],
)
def test_a_time_is_found_in_a_message_only_if_the_message_names_one(said: str, time: float | None) -> None:
    assert said_in(said, NOW, UTC) == (None if time is None else pytest.approx(time))


@pytest.mark.parametrize(
    ("value", "time"),
    [
        (
            {"error": {"type": "usage_limit_reached", "resets_at": 1777936568, "resets_in_seconds": 13872}},
            1777936568.0,
        ),
        ([{"error": {"code": 429, "details": [{"@type": "…RetryInfo", "retryDelay": "3600s"}]}}], NOW + HOUR),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": "1741305600000"}}}}, 1741305600.0),
        ({"data": {"retryAfter": 90}}, NOW + 90),
        ({"resetTime": "2026-03-01T15:00:00Z"}, at(2026, 3, 1, 15)),
        ({"resetTime": "2026-03-01T15:00:00"}, None),  # in which time zone?
        ({"resets_at": True, "retry_after": "soon", "retryDelay": None}, None),
        ({"error": {"message": "slow down"}}, None),
        ("text", None),
    ],
)
def test_a_time_is_found_in_the_members_that_are_used_for_it(value: object, time: float | None) -> None:
    assert named_in(value, NOW) == time


@pytest.mark.parametrize(
    ("headers", "time"),
    [
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, NOW + 360),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "6m0s"}, None),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-03-01T13:00:00Z",
            },
            NOW + HOUR,
        ),
        (
            {
                "Anthropic-Ratelimit-Unified-Status": "rejected",
                "Anthropic-Ratelimit-Unified-Reset": "1772380800",
            },
            1772380800.0,
        ),
        (
            {
                "anthropic-ratelimit-unified-status": "allowed",
                "anthropic-ratelimit-unified-reset": "1772380800",
            },
            None,
        ),
        ({"x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": "1777936568"}, 1777936568.0),
        ({"x-codex-primary-used-percent": "80", "x-codex-primary-reset-at": "1777936568"}, None),
        ({}, None),
    ],
)
def test_the_headers_of_a_limit_that_is_used_up_have_its_time(
    headers: dict[str, str], time: float | None
) -> None:
    assert in_headers(headers, NOW) == time
