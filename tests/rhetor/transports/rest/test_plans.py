"""Plans over REST: steps, lines of the grammar, and answers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rhetor.transports.rest.rest_answers import sse
from tests.served import served

pytestmark = pytest.mark.anyio


async def test_a_plan_streams_the_events_of_all_its_steps(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        steps = [
            {"id": "a", "ai": "athena", "message": "design"},
            {"id": "b", "ai": "@code-analysis", "depends_on": ["a"]},
        ]
        answer = await home.ask("POST", "/api/v2/plans", {"steps": steps, "input": "a cache"})
        events = sse(answer.text)
        assert {e["plan_id"] for e in events} == {answer.headers["x-plan-id"]}
        answers = [e["data"]["text"] for e in events if e["type"] == "step.done"]
        assert answers[0] == "athena heard: design\n\na cache"
        chosen = next(e["data"] for e in events if e["type"] == "step.started" and e["step"] == "b")
        assert (chosen["peer"], chosen["capability"], chosen["score"]) == ("apollo", "code-analysis", 0.95)
        assert events[-1]["data"] == {"status": "completed"}
        again = await home.ask("GET", f"/api/v2/plans/{answer.headers['x-plan-id']}/events")
        assert sse(again.text) == events


async def test_respond_async_returns_the_plan_id_and_cursor_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        route = {"name": "review", "hops": [{"ai": "apollo"}]}
        assert (await home.ask("POST", "/api/v2/routes", route)).status == 200
        bodies = {"plans": {"line": "apollo hi"}, "routes/review/send": {"message": "hi"}}
        for path, body in bodies.items():
            headers = {"Prefer": "respond-async", "Idempotency-Key": path}
            first = await home.ask("POST", f"/api/v2/{path}", body, headers=headers)
            again = await home.ask("POST", f"/api/v2/{path}", body, headers=headers)
            assert (first.status, first.headers["preference-applied"]) == (202, "respond-async")
            assert (
                first.json
                == again.json
                == {"plan_id": first.headers["x-plan-id"], "cursor": first.headers["x-cursor"]}
            )
            where = f"/api/v2/plans/{first.json['plan_id']}/events?after={first.json['cursor']}"
            followed = [event["type"] for event in sse((await home.ask("GET", where)).text)]
            assert (followed[0], followed[-1]) == ("plan.started", "plan.ended")


async def test_a_line_of_the_grammar_is_run_as_a_plan(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask(
            "POST", "/api/v2/plans", {"line": '{apollo|athena} | prometheus "join"', "input": "x"}
        )
        assert [name for name, _ in home.driver.heard][2] == "prometheus"
        assert sse(answer.text)[-1]["data"] == {"status": "completed"}
        for line, code in (
            ("apollo |", "unprocessable"),
            ("ls | apollo", "unknown_peer"),
            ("apollo x > f", "unprocessable"),
        ):
            refused = await home.ask("POST", "/api/v2/plans", {"line": line})
            assert (line, refused.json["code"]) == (line, code)
        for body in ({}, {"line": "apollo x", "steps": []}):
            assert (await home.ask("POST", "/api/v2/plans", body)).status == 400
