"""Expiry does not depend on clock changes while the hub runs."""

from __future__ import annotations

import pytest

from rhetor.hub.core.ids import Ids

DAY = 86_400_000


class Clocks:
    """A clock that can be set, and the time that has actually passed."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.real = 5_000

    def pass_(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.real += milliseconds


@pytest.mark.parametrize("jump", [DAY, -DAY, 3_600_000, -3_600_000])
def test_the_time_since_a_moment_does_not_change_when_the_clock_is_set(jump: int) -> None:
    clocks = Clocks()
    ids = Ids(lambda: clocks.wall, lambda: clocks.real)
    before_this_hub = clocks.wall - 60_000
    clocks.pass_(10_000)
    first = ids.now()
    clocks.pass_(20_000)
    clocks.wall += jump
    assert ids.since(first) == 20_000
    assert ids.since(before_this_hub) == 90_000
    clocks.pass_(500)
    second = ids.now()
    assert second == clocks.wall
    clocks.pass_(1_000)
    clocks.wall -= jump
    assert (ids.since(second), ids.since(first)) == (1_000, 21_500)
    third = ids.now()
    clocks.pass_(7)
    assert ids.since(third) == 7


def test_a_small_correction_of_the_clock_does_not_count_as_a_jump() -> None:
    clocks = Clocks()
    ids = Ids(lambda: clocks.wall, lambda: clocks.real)
    at = ids.now()
    for _ in range(1000):
        clocks.pass_(1_000)
        clocks.wall += 1
        ids.now()
    assert abs(ids.since(at) - 1_000_000) <= 2_000
