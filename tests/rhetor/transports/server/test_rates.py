"""How many messages are accepted from one caller."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rhetor.errors import BytesExceeded, RateExceeded
from rhetor.transports.server.rates import MOST_CALLERS, ByteRates, Rates
from tests.served import TOKEN, Served, served


def test_a_burst_is_accepted_then_the_rate_per_second_applies() -> None:
    rates = Rates(per_second=2.0, burst=5)
    for _ in range(5):
        rates.take("me", "ws", 100.0)
    with pytest.raises(RateExceeded) as refused:
        rates.take("me", "ws", 100.4)
    limits = {"per_second": 2.0, "burst": 5, "hint": RateExceeded.hint}
    assert refused.value.data == {**limits, "retry_after": 0.1}
    rates.take("me", "ws", 100.5)
    with pytest.raises(RateExceeded):
        rates.take("me", "ws", 100.5)
    rates.take("me", "ws", 10_000.0, 5)
    with pytest.raises(RateExceeded):
        rates.take("me", "ws", 10_000.0)


def test_callers_and_apis_are_counted_separately() -> None:
    rates = Rates(per_second=1.0, burst=1)
    for subject, api in (("me", "ws"), ("me", "ws.ai"), ("you", "ws")):
        rates.take(subject, api, 0.0)
        with pytest.raises(RateExceeded):
            rates.take(subject, api, 0.0)


def test_a_message_that_costs_more_than_the_burst_is_rejected() -> None:
    with pytest.raises(RateExceeded):
        Rates(per_second=50.0, burst=200).take("me", "ws", 0.0, 201)


def test_the_number_of_remembered_callers_is_bounded() -> None:
    rates = Rates()
    for n in range(2 * MOST_CALLERS):
        rates.take(f"caller {n}", "ws", 0.0)
    assert len(rates._buckets) == MOST_CALLERS


def test_a_caller_sends_the_bytes_of_a_second_at_once_and_makes_up_for_more() -> None:
    rates = ByteRates(per_second=100)
    rates.check("me", 0.0)
    rates.note("me", 100, 0.0)
    rates.check("me", 0.0)
    rates.note("me", 500, 0.0)  # accepted whole
    with pytest.raises(BytesExceeded) as refused:
        rates.check("me", 0.5)
    assert refused.value.data == {"per_second": 100, "retry_after": 4.5, "hint": BytesExceeded.hint}
    rates.check("you", 0.5)
    rates.check("me", 5.0)
    rates.check("me", 1_000.0)
    for n in range(2 * MOST_CALLERS):
        rates.note(f"caller {n}", 1, 0.0)
    assert len(rates._even_at) == MOST_CALLERS


MESSAGE = "/api/v2/ai/apollo/message"
BEARER = {"authorization": f"Bearer {TOKEN}"}


async def over_tcp(home: Served, method: str, path: str, body: Any = None) -> int:
    answer = await home.ask_tcp(method, f"/api/v2/{path}", headers=BEARER, json=body)
    if answer.status == 429:
        assert answer.json["code"] == "rate_exceeded"
        assert 900 < answer.json["retry_after"] <= int(answer.headers["retry-after"]) <= 4000
    return answer.status


@pytest.mark.anyio
async def test_only_changes_over_tcp_are_counted_and_reads_are_not(tmp_path: Path) -> None:
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
async def test_each_step_counts_and_a_long_plan_uses_the_whole_burst(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.node.rates = Rates(per_second=0.001, burst=4)
        operations = [{"id": f"o{n}", "ai": "apollo", "message": "hi"} for n in range(3)]
        assert await over_tcp(home, "POST", "bulk", {"operations": operations}) == 200
        assert await over_tcp(home, "POST", "bulk", {"operations": operations}) == 429
        home.node.rates = Rates(per_second=0.001, burst=4)
        many = [{"id": f"o{n}", "ai": "apollo", "message": "hi"} for n in range(9)]
        assert await over_tcp(home, "POST", "bulk", {"operations": many}) == 200
        assert await over_tcp(home, "POST", "bulk", {"operations": operations[:1]}) == 429


@pytest.mark.anyio
async def test_bodies_over_tcp_are_counted_by_bytes_whatever_credential_is_sent(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        home.node.byte_rates.per_second = 1000
        large = {"content": "x" * 50_000}
        answers = [await home.ask_tcp("POST", MESSAGE, BEARER, json=large) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]
        assert answers[1].json["code"] == "bytes_exceeded"
        assert 40 <= int(answers[1].headers["retry-after"]) <= 50
        for more in ({"cookie": "rhetor=made-up"}, {"x-api-key": "made-up"}, {"x-forwarded-for": "1.2.3.4"}):
            found = await home.ask_tcp("POST", MESSAGE, {**BEARER, **more}, json={"content": "hi"})
            assert found.status == 429
        basic = {"authorization": f"Basic {b64encode(f'somebody:{TOKEN}'.encode()).decode()}"}
        assert (await home.ask_tcp("POST", MESSAGE, basic, json={"content": "hi"})).status == 429
        assert (await home.ask_tcp("GET", "/api/v2/ai", BEARER)).status == 200  # it sends no body
        assert (await home.ask("POST", MESSAGE, large)).status == 200
        assert len(home.driver.heard) == 2


@pytest.mark.anyio
async def test_all_tokens_of_one_subject_share_a_limit_and_those_of_others_do_not(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        home.node.rates = Rates(per_second=0.001, burst=2)
        answers = []
        for subject in ("ann", "ann", "ann", "bob"):
            asked = {"scopes": ["read", "send"], "subject": subject}
            token = (await home.ask("POST", "/api/auth/token", asked)).json["access_token"]
            bearer = {"authorization": f"Bearer {token}"}
            answers.append(await home.ask_tcp("POST", MESSAGE, bearer, json={"content": "hi"}))
        assert [answer.status for answer in answers] == [200, 200, 429, 200]


@pytest.mark.long
@pytest.mark.anyio
async def test_a_flood_over_tcp_does_not_delay_the_owner_on_the_unix_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = {"content": "hi"}
        flood = [home.ask_tcp("POST", MESSAGE, BEARER, json=body) for _ in range(300)]
        wrong = [home.ask_tcp("POST", MESSAGE, {"authorization": "Bearer no"}, json=body) for _ in range(20)]
        both = asyncio.gather(*flood, *wrong)
        assert (await home.ask("POST", MESSAGE, body)).status == 200
        found = Counter(answer.status for answer in await both)
        assert found[401] == 5
        assert found[429] >= 15
        assert (await home.ask("POST", MESSAGE, body)).status == 200
