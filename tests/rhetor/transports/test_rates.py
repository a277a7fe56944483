"""How many messages are taken from one caller."""

from __future__ import annotations

import pytest

from rhetor.errors import RateExceeded
from rhetor.transports.rates import MOST_CALLERS, Rates


def test_a_burst_is_taken_and_then_so_many_a_second() -> None:
    rates = Rates(per_second=2.0, burst=5)
    for _ in range(5):
        rates.take("me", "ws", 100.0)
    with pytest.raises(RateExceeded) as refused:
        rates.take("me", "ws", 100.4)
    assert refused.value.data == {"per_second": 2.0, "burst": 5}
    rates.take("me", "ws", 100.5)
    with pytest.raises(RateExceeded):
        rates.take("me", "ws", 100.5)
    rates.take("me", "ws", 10_000.0, 5)
    with pytest.raises(RateExceeded):
        rates.take("me", "ws", 10_000.0)


def test_callers_and_doors_do_not_count_for_each_other() -> None:
    rates = Rates(per_second=1.0, burst=1)
    for subject, door in (("me", "ws"), ("me", "ws.ai"), ("you", "ws")):
        rates.take(subject, door, 0.0)
        with pytest.raises(RateExceeded):
            rates.take(subject, door, 0.0)


def test_more_at_once_than_there_may_be_is_never_taken() -> None:
    with pytest.raises(RateExceeded):
        Rates(per_second=50.0, burst=200).take("me", "ws", 0.0, 201)


def test_the_callers_that_are_remembered_are_bounded() -> None:
    rates = Rates()
    for n in range(2 * MOST_CALLERS):
        rates.take(f"caller {n}", "ws", 0.0)
    assert len(rates._buckets) == MOST_CALLERS
