"""`/api/v2/budgets`: which budgets are in force, and changing them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.budget import Budget
from rhetor.domain.event import BudgetReached
from rhetor.domain.output import Done, Text, Usage
from rhetor.store.memory import MemoryStore
from tests.served import served

pytestmark = pytest.mark.anyio
PATH = "/api/v2/budgets"
CONFIGURED = [Budget("peer.apollo", tokens_per_day=1000, fallback="athena"), Budget("global", Decimal(1))]


def brief(answer: Any) -> list[tuple[Any, ...]]:
    return [
        (each["name"], limit["limit"], limit["value"], limit["spent"], limit["reserved"], each["source"])
        for each in answer.json["budgets"]
        for limit in each["limits"]
    ]


async def test_the_budgets_of_the_configuration_are_listed_with_their_periods(tmp_path: Path) -> None:
    async with served(tmp_path, budgets=CONFIGURED) as home:
        answer = await home.ask("GET", PATH)
        assert brief(answer) == [
            ("global", "usd_per_day", "1", "0", "0", "configuration"),
            ("peer.apollo", "tokens_per_day", 1000, 0, 0, "configuration"),
        ]
        one = (await home.ask("GET", f"{PATH}/peer.apollo")).json
        assert one == answer.json["budgets"][1]
        assert (one["on_limit"], one["tokens_per_day"], one["usd_per_day"]) == (
            {"fallback": "athena"},
            1000,
            None,
        )
        (limit,) = one["limits"]
        assert (limit["period"], limit["share"], limit["unpriced_turns"]) == ("day", 0.0, 0)
        assert limit["starts_at"].endswith("T00:00:00.000Z") and limit["starts_at"] < limit["resets_at"]


async def test_a_budget_that_is_set_replaces_the_configured_one_until_it_is_removed(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, budgets=CONFIGURED, store=store) as home:
        body = {"usd_per_month": "2.50", "usd_per_day": 0.5, "on_limit": "ask"}
        put = await home.ask("PUT", f"{PATH}/peer.Apollo", body)
        assert (put.status, put.json["name"], put.json["source"]) == (200, "peer.apollo", "api")
        assert (put.json["usd_per_day"], put.json["usd_per_month"], put.json["tokens_per_day"]) == (
            "0.5",
            "2.50",
            None,
        )
        await home.ask("PUT", f"{PATH}/caller.kim", {"tokens_per_day": 5})
    async with served(tmp_path, budgets=CONFIGURED, store=store) as home:
        assert [
            (name, limit, source) for name, limit, _, _, _, source in brief(await home.ask("GET", PATH))
        ] == [
            ("global", "usd_per_day", "configuration"),
            ("caller.kim", "tokens_per_day", "api"),
            ("peer.apollo", "usd_per_day", "api"),
            ("peer.apollo", "usd_per_month", "api"),
        ]
        removed = await home.ask("DELETE", f"{PATH}/peer.apollo")
        assert (removed.json["status"], removed.json["configured"]["tokens_per_day"]) == ("removed", 1000)
        assert (await home.ask("DELETE", f"{PATH}/caller.kim")).json["configured"] is None
        assert len(brief(await home.ask("GET", PATH))) == 2


@pytest.mark.parametrize(
    ("method", "name", "body", "status", "code"),
    [
        ("PUT", "planet.mars", {"tokens_per_day": 1}, 422, "unprocessable"),
        ("PUT", "global", {}, 422, "unprocessable"),
        ("PUT", "global", {"tokens_per_day": -1}, 422, "unprocessable"),
        ("PUT", "global", {"usd_per_day": "NaN"}, 422, "unprocessable"),
        ("PUT", "global", {"tokens_per_week": 1}, 422, "unprocessable"),
        ("PUT", "peer.nobody", {"tokens_per_day": 1}, 404, "unknown_peer"),
        ("PUT", "peer.team:reviewers", {"tokens_per_day": 1}, 422, "unprocessable"),
        (
            "PUT",
            "peer.apollo",
            {"tokens_per_day": 1, "on_limit": {"fallback": "apollo"}},
            422,
            "unprocessable",
        ),
        ("PUT", "global", {"tokens_per_day": 1, "on_limit": {"fallback": "nobody"}}, 404, "unknown_peer"),
        ("DELETE", "peer.apollo", None, 409, "budget_configured"),
        ("DELETE", "caller.kim", None, 404, "not_found"),
        ("GET", "caller.kim", None, 404, "not_found"),
    ],
)
async def test_an_invalid_change_is_rejected(
    tmp_path: Path, method: str, name: str, body: Any, status: int, code: str
) -> None:
    async with served(tmp_path, budgets=CONFIGURED) as home:
        answer = await home.ask(method, f"{PATH}/{name}", body)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert len(brief(await home.ask("GET", PATH))) == 2


@pytest.mark.parametrize(
    ("option", "end"),
    [("continue", "turn.completed"), ("raise", "turn.completed"), ("stop", "turn.cancelled")],
)
async def test_a_paused_turn_is_listed_and_answered_like_any_permission_request(
    tmp_path: Path, option: str, end: str
) -> None:
    script = [Text("yes"), Usage("m", 3, 4, cost="0"), Done()]
    async with served(tmp_path, script, budgets=[Budget("global", tokens_per_day=0)]) as home:
        sent = await home.ask(
            "POST", "/api/v2/ai/apollo/message", {"content": "hi"}, headers={"prefer": "respond-async"}
        )
        session = sent.json["session_id"]
        payloads = await home.seen(session, lambda payload: payload.type == "permission.asked")
        assert [p.then for p in payloads if isinstance(p, BudgetReached)] == ["ask"]
        assert (await home.ask("GET", f"/api/v2/sessions/{session}")).json["state"] == "waiting"
        (request,) = (await home.ask("GET", "/api/v2/permissions")).json["permissions"]
        assert (request["peer"], request["tool"], request["expires_at"]) == ("apollo", "budget", None)
        limit = request["detail"]["budget"]
        assert (limit["name"], limit["limit"]) == ("global", "tokens_per_day")
        raised = limit["raise_to"]
        path = f"/api/v2/sessions/{session}/permissions/{request['request_id']}"
        assert (await home.ask("POST", path, {"option_id": option})).status == 200
        await home.seen(session, lambda payload: payload.type == end)
        (budget,) = (await home.ask("GET", PATH)).json["budgets"]
        assert budget["tokens_per_day"] == (raised if option == "raise" else 0)
        assert budget["limits"][0]["spent"] == (0 if option == "stop" else 7)


async def test_a_streamed_answer_says_that_another_peer_answers_and_why(tmp_path: Path) -> None:
    budgets = [Budget("peer.apollo", tokens_per_day=0, fallback="athena")]
    async with served(tmp_path, budgets=budgets) as home:
        body = {"content": "hi"}
        answer = await home.ask("POST", "/api/v2/ai/apollo/stream", body)
        frames = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [frame["type"] for frame in frames][-3:] == ["passed_on", "content", "done"]
        (reached,) = [frame for frame in frames if frame["type"] == "budget"]
        assert (reached["then"], reached["peer"], reached["budget"]) == ("fallback", "athena", "peer.apollo")
