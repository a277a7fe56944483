"""Times in RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.timestamps import timestamp


def test_a_time_is_shown_in_utc_with_milliseconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_769_860_800_250) == "2026-01-31T12:00:00.250Z"


@given(st.integers(0, 253_402_300_799_999))
def test_a_timestamp_parses_back_to_its_time(at: int) -> None:
    read = datetime.fromisoformat(timestamp(at))
    assert read.tzinfo is UTC
    assert round(read.timestamp() * 1000) == at
