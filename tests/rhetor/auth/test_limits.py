"""How often something may happen in a minute, and what is told of wrong credentials."""

from __future__ import annotations

import pytest

from rhetor.auth.limits import MOST_CALLERS, Attempts, MovingWindow
from rhetor.errors import TooManyAttempts, Unauthenticated


def test_a_minute_moves_on_and_names_do_not_count_for_each_other() -> None:
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


def test_the_names_that_are_remembered_are_bounded() -> None:
    window = MovingWindow(1)
    for n in range(2 * MOST_CALLERS):
        window.note(f"caller {n}", 1.0)
    assert len(window) == MOST_CALLERS
    assert window.wait(f"caller {2 * MOST_CALLERS - 1}", 2.0) == 59.0


def test_the_first_wrong_credentials_are_told_so_and_further_ones_when_to_come_again() -> None:
    attempts, wrong = Attempts(2), Unauthenticated("no")
    assert [attempts.failed("here", wrong, now) for now in (0.0, 1.0)] == [wrong, wrong]
    refused = attempts.failed("here", wrong, 2.0)
    assert isinstance(refused, TooManyAttempts)
    assert refused.data == {"limit": 2, "retry_after": 58.0}
    assert attempts.failed("there", wrong, 2.0) is wrong
    assert attempts.failed("here", wrong, 60.5) is wrong  # what was refused did not count


@pytest.mark.parametrize("per_minute", [1, 5])
def test_who_goes_on_trying_is_looked_at_so_often_and_no_more(per_minute: int) -> None:
    attempts, wrong = Attempts(per_minute), Unauthenticated("no")
    told = [attempts.failed("here", wrong, n / 10) for n in range(600)]
    assert told.count(wrong) == per_minute
