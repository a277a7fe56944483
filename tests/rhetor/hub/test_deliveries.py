"""How often one message is delivered: counting its deliveries, and the limit."""

from __future__ import annotations

import pytest

from rhetor.domain.event import Cause
from rhetor.errors import FanoutLimit
from rhetor.hub.core.deliveries import Deliveries


def test_deliveries_of_one_message_are_counted_up_to_the_limit() -> None:
    deliveries = Deliveries()
    with deliveries.counted(Cause("m"), 2, 3) as causes:
        assert causes == [Cause("m", 1), Cause("m", 2)]
    with pytest.raises(FanoutLimit), deliveries.counted(Cause("m", 1), 2, 3):
        pass
    with deliveries.counted(Cause("m", 1), 1, 3) as causes:
        assert causes == [Cause("m", 3)]
    with deliveries.counted(Cause("another"), 1, 3) as causes:
        assert causes == [Cause("another", 1)]


def test_a_failed_delivery_does_not_count() -> None:
    deliveries = Deliveries()
    with pytest.raises(OSError), deliveries.counted(Cause("m"), 1, 1):
        raise OSError
    with deliveries.counted(Cause("m"), 1, 1) as causes:
        assert causes == [Cause("m", 1)]


def test_a_new_count_continues_from_the_number_in_the_message() -> None:
    with pytest.raises(FanoutLimit), Deliveries().counted(Cause("m", 3), 1, 3):
        pass
