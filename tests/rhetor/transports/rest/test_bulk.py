"""Many messages in one request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut
from tests.rhetor.transports.rest.rest_answers import sse
from tests.served import served

pytestmark = pytest.mark.anyio


def operation(id: str, ai: str = "apollo", message: str = "x", *needs: str) -> dict[str, Any]:
    return {"id": id, "ai": ai, "message": message, "depends_on": list(needs)}


async def test_answers_replace_the_placeholders_of_later_operations(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        operations = [
            operation("a", "athena", "design"),
            operation("b", "@code-analysis", "look at {{a}} closely", "a"),
            operation("c", "team:reviewers", "vote", "b"),
        ]
        answer = await home.ask("POST", "/api/v2/bulk", {"operations": operations})
        results = answer.json["results"]
        assert sorted(results) == ["a", "b", "c.apollo", "c.athena"]
        assert results["a"]["response"] == "athena heard: design"
        assert results["a"] == {
            "status": "success",
            "response": "athena heard: design",
            "ai": "athena",
            "execution_time": results["a"]["execution_time"],
        }
        message = home.driver.heard[1][1]
        assert message.startswith("look at [From Athena]\n")
        assert message.endswith(" closely")
        assert {results["c.apollo"]["ai"], results["c.athena"]["ai"]} == {"apollo", "athena"}


@pytest.mark.parametrize(
    ("options", "at_once"), [({"max_parallel": 3}, 3), ({"execution": "sequential"}, 1), ({}, 6)]
)
async def test_operations_run_in_parallel_up_to_the_limit(
    tmp_path: Path, options: dict[str, Any], at_once: int
) -> None:
    together = asyncio.Barrier(at_once)
    async with served(tmp_path, *[[together, Text("x"), Done()]] * 6) as home:
        operations = [operation(f"o{n}", message=str(n)) for n in range(6)]
        answer = await home.ask("POST", "/api/v2/bulk", {"operations": operations, **options})
        assert [r["status"] for r in answer.json["results"].values()] == ["success"] * 6
        assert home.driver.most_at_once == at_once
        assert [message for _, message in home.driver.heard] == [str(n) for n in range(6)]


async def test_an_operation_is_skipped_with_the_name_of_its_failed_dependency(tmp_path: Path) -> None:
    async with served(tmp_path, [ProviderCut("gone", retryable=True, hint="try again")]) as home:
        operations = [operation("a"), operation("b", "athena", "x", "a"), operation("c", "athena", "x", "b")]
        operations.append(operation("free", "prometheus"))
        results = (await home.ask("POST", "/api/v2/bulk", {"operations": operations})).json["results"]
        error = {"code": "provider_cut", "detail": "gone", "retryable": True, "hint": "try again"}
        assert results["a"]["error"] == error
        for id in ("b", "c"):
            assert results[id] == {
                "status": "skipped",
                "response": None,
                "ai": None,
                "execution_time": 0.0,
                "error": {"code": "skipped", "detail": "a failed", "because": "a"},
            }
        assert results["free"]["status"] == "success"


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([], 422),
        ([operation("a", "apollo", "x", "a")], 422),
        ([operation("a", "apollo", "x", "b"), operation("b", "apollo", "x", "a")], 422),
        ([operation("a", "apollo", "x", "nobody")], 422),
        ([operation("a"), operation("a")], 422),
        ([operation("a b")], 422),
        ([operation("a"), operation("b", "zeus")], 404),
        ([operation("a"), operation("b", "team:none")], 404),
        ([operation("a"), operation("b", "apollo", "")], 400),
    ],
)
async def test_an_invalid_request_is_rejected_before_any_operation_runs(
    tmp_path: Path, operations: list[dict[str, Any]], status: int
) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask("POST", "/api/v2/bulk", {"operations": operations})
        assert answer.status == status
        assert home.driver.heard == []


async def test_a_stream_has_each_result_as_soon_as_it_is_ready(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        operations = [operation("a"), operation("b", "athena", "x", "a")]
        headers = {"accept": "text/event-stream"}
        answer = await home.ask("POST", "/api/v2/bulk", {"operations": operations}, headers=headers)
        frames = sse(answer.text)
        assert [(f["type"], f.get("id")) for f in frames] == [
            ("result", "a"),
            ("result", "b"),
            ("done", None),
        ]
        assert [f["prev"] for f in frames] == [0, *[f["seq"] for f in frames[:-1]]]
