"""How many messages are taken from one caller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rhetor.errors import RateExceeded
from rhetor.transports.server.rates import MOST_CALLERS, Rates
from tests.served import TOKEN, Served, served


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


def test_callers_and_apis_do_not_count_for_each_other() -> None:
    rates = Rates(per_second=1.0, burst=1)
    for subject, api in (("me", "ws"), ("me", "ws.ai"), ("you", "ws")):
        rates.take(subject, api, 0.0)
        with pytest.raises(RateExceeded):
            rates.take(subject, api, 0.0)


def test_more_at_once_than_there_may_be_is_never_taken() -> None:
    with pytest.raises(RateExceeded):
        Rates(per_second=50.0, burst=200).take("me", "ws", 0.0, 201)


def test_the_callers_that_are_remembered_are_bounded() -> None:
    rates = Rates()
    for n in range(2 * MOST_CALLERS):
        rates.take(f"caller {n}", "ws", 0.0)
    assert len(rates._buckets) == MOST_CALLERS


BEARER = {"authorization": f"Bearer {TOKEN}"}


async def over_tcp(home: Served, method: str, path: str, body: Any = None) -> int:
    answer = await home.ask_tcp(method, f"/api/v2/{path}", headers=BEARER, json=body)
    if answer.status == 429:
        assert (answer.json["code"], answer.headers["retry-after"]) == ("rate_exceeded", "1")
    return answer.status


@pytest.mark.anyio
async def test_what_changes_something_is_counted_over_tcp_and_what_reads_is_not(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.node.rates = Rates(per_second=0.001, burst=3)
        message = "ai/apollo/message", {"content": "hi"}
        assert [await over_tcp(home, "POST", *message) for _ in range(2)] == [200, 200]
        assert await over_tcp(home, "PUT", "purposes/apollo", {"text": "x"}) == 200
        assert await over_tcp(home, "POST", *message) == 429
        assert await over_tcp(home, "DELETE", "purposes/apollo") == 429
        assert [await over_tcp(home, "GET", "ai") for _ in range(5)] == [200] * 5
        assert len(home.driver.heard) == 2
        for _ in range(5):
            assert (await home.ask("POST", f"/api/v2/{message[0]}", message[1])).status == 200


@pytest.mark.anyio
async def test_each_step_of_a_plan_counts_and_a_long_one_takes_all_there_is(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.node.rates = Rates(per_second=0.001, burst=4)
        operations = [{"id": f"o{n}", "ai": "apollo", "message": "hi"} for n in range(3)]
        assert await over_tcp(home, "POST", "bulk", {"operations": operations}) == 200
        assert await over_tcp(home, "POST", "bulk", {"operations": operations}) == 429
        home.node.rates = Rates(per_second=0.001, burst=4)
        many = [{"id": f"o{n}", "ai": "apollo", "message": "hi"} for n in range(9)]
        assert await over_tcp(home, "POST", "bulk", {"operations": many}) == 200
        assert await over_tcp(home, "POST", "bulk", {"operations": operations[:1]}) == 429
