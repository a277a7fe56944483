"""Limits per minute, and the errors for wrong credentials."""

from __future__ import annotations

import pytest

from rhetor.auth.limits import MOST_CALLERS, Attempts, MovingWindow
from rhetor.errors import TooManyAttempts, Unauthenticated


def test_the_minute_is_a_sliding_window_per_name() -> None:
    window = MovingWindow(2)
    for now in (0.0, 30.0):
        assert window.wait("me", now) == 0
        window.note("me", now)
    assert window.wait("me", 59.0) == 1.0
    assert window.wait("you", 59.0) == 0
    assert window.wait("me", 60.0) == 0
    window.note("me", 60.0)
    assert window.wait("me", 61.0) == 29.0
    window.per_minute = 1
    assert window.wait("me", 61.0) == 59.0


def test_the_number_of_remembered_names_is_bounded() -> None:
    window = MovingWindow(1)
    for n in range(2 * MOST_CALLERS):
        window.note(f"caller {n}", 1.0)
    assert len(window) == MOST_CALLERS
    assert window.wait(f"caller {2 * MOST_CALLERS - 1}", 2.0) == 59.0


def test_after_too_many_wrong_credentials_the_error_has_a_retry_time() -> None:
    attempts, wrong = Attempts(2), Unauthenticated("no")
    assert [attempts.failed("here", wrong, now) for now in (0.0, 1.0)] == [wrong, wrong]
    refused = attempts.failed("here", wrong, 2.0)
    assert isinstance(refused, TooManyAttempts)
    assert refused.data == {"limit": 2, "retry_after": 58.0}
    assert attempts.failed("there", wrong, 2.0) is wrong
    assert attempts.failed("here", wrong, 60.5) is wrong  # rejected attempts did not count


@pytest.mark.parametrize("per_minute", [1, 5])
def test_only_the_allowed_number_of_attempts_per_minute_is_checked(per_minute: int) -> None:
    attempts, wrong = Attempts(per_minute), Unauthenticated("no")
    told = [attempts.failed("here", wrong, n / 10) for n in range(600)]
    assert told.count(wrong) == per_minute
