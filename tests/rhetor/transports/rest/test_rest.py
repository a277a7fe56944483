"""REST and server-sent events, through real sockets."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest

from rhetor.domain.event import Position, TurnInterrupted
from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut, ProviderTimeout, RateLimited, ToolUnanswered
from rhetor.hub.catalog.turn_log import turn_end
from rhetor.hub.core.limits import Limits
from tests.rhetor.transports.calling import calling
from tests.rhetor.transports.rest.rest_answers import session_with, sse
from tests.served import served

pytestmark = pytest.mark.anyio


async def test_a_message_returns_the_whole_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for path, ai in (
            ("/api/v2/ai/apollo/message", "apollo"),
            ("/api/v1/ai/apollo-ai/message", "apollo-ai"),
            ("/api/v2/ai/@code-analysis/message", "apollo"),
        ):
            answer = await home.ask("POST", path, {"content": "hi"})
            assert answer.status == 200
            found = answer.json
            assert found["response"] == "apollo heard: hi"
            assert found["ai"] == ai
            assert found["session_id"] == answer.headers["x-session-id"]
            assert found["turn_id"] == answer.headers["x-turn-id"]
            told = {"response", "ai", "session_id", "turn_id", "usage", "execution_time", "finish_reason"}
            assert set(found) == told
            assert found["finish_reason"] == "stop"


async def test_a_stream_has_content_frames_then_done(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with served(tmp_path, [Text("one "), gate, Text("two"), Text("why", "reasoning"), Done()]) as home:
        url = "http://localhost/api/v2/ai/apollo/stream"
        async with home.local.post(url, json={"content": "hi"}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["x-cursor"].endswith(":0")
            first = [await response.content.readline() for _ in range(3)]
            gate.set()
            rest = (await response.content.read()).decode()
        frames = sse(b"".join(first).decode() + rest)
        shown = [{k: f.get(k) for k in ("type", "data", "channel", "specialist_id")} for f in frames]
        who = {"specialist_id": "apollo"}
        assert shown == [
            {"type": "content", "data": "one ", "channel": None, **who},
            {"type": "content", "data": "two", "channel": None, **who},
            {"type": "content", "data": "why", "channel": "reasoning", **who},
            {"type": "done", "data": None, "channel": None, **who},
        ]
        assert [f["prev"] for f in frames] == [0, *[f["seq"] for f in frames[:-1]]]
        assert first[0].decode().strip() == f"id: {frames[0]['epoch']}:{frames[0]['seq']}"


async def test_a_failed_turn_is_an_error_frame_or_a_problem_response(tmp_path: Path) -> None:
    cut = ProviderCut("the line went dead", retryable=True, provider="p", model="m", status=None)
    slow = ProviderTimeout("nothing came for 60 s", retryable=True, provider="p", phase="idle")
    limited = RateLimited("too many", retryable=True, provider="p", status=429)
    unanswered = ToolUnanswered("no result of `look` came", retryable=True, tool="look")
    scripts = [[Text("half"), cut], [Text("half"), cut], [slow], [unanswered], [limited]]
    async with served(tmp_path, *scripts) as home:
        frames = sse((await home.ask("POST", "/api/v2/ai/apollo/stream", {"content": "hi"})).text)
        assert [f["type"] for f in frames] == ["content", "error"]
        assert (frames[1]["code"], frames[1]["retryable"]) == ("provider_cut", True)
        answer = await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json
        assert (answer.status, problem["status"], problem["code"]) == (502, 502, "provider_cut")
        assert (problem["partial"], problem["retryable"], problem["provider"]) == ("half", True, "p")
        assert problem["turn_id"]
        for code in ("timeout", "tool_unanswered"):
            late = await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
            assert (late.status, late.json["code"]) == (504, code)
        last = await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
        assert (last.status, last.json["provider_status"]) == (502, 429)


async def test_a_session_is_created_used_listed_and_ended(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "mine"})).json
        assert next(iter(made)) == "id"
        assert (made["specialist_id"], made["state"], made["ttl"], made["context_window"]) == (
            "apollo",
            "active",
            None,
            10,
        )
        path = f"/api/v2/sessions/{made['id']}"
        said = await home.ask("POST", f"{path}/message", {"message": "hi"})
        assert said.json["response"] == "apollo heard: hi"
        streamed = sse((await home.ask("POST", f"{path}/stream", {"message": "again"})).text)
        assert [f["type"] for f in streamed] == ["content", "done"]
        found = (await home.ask("GET", path)).json
        assert [(m["role"], m["content"]) for m in found["messages"]] == [
            ("user", "hi"),
            ("assistant", "apollo heard: hi"),
            ("user", "again"),
            ("assistant", "apollo heard: again"),
        ]
        listed = (await home.ask("GET", "/api/v2/sessions?peer=apollo&state=active")).json["sessions"]
        assert [s["id"] for s in listed] == [made["id"]]
        taken = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "mine"})
        assert (taken.status, taken.json["code"]) == (409, "name_taken")
        assert (await home.ask("DELETE", path)).json["state"] == "stopped"
        assert (await home.ask("POST", f"{path}/message", {"message": "hi"})).json["code"] == "session_over"
        again = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "mine"})
        assert (again.status, again.json["id"] != made["id"]) == (200, True)


async def test_a_missing_resource_is_404_with_a_code(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        cases = [
            ("GET", "/api/v2/ai/zeus", None, "unknown_peer"),
            ("POST", "/api/v2/ai/zeus/message", {"content": "x"}, "unknown_peer"),
            ("POST", "/api/v2/ai/@flying/message", {"content": "x"}, "no_capable_peer"),
            ("POST", "/api/v2/sessions", {"specialist_id": "zeus"}, "unknown_peer"),
            ("GET", "/api/v2/sessions/s_1", None, "not_found"),
            ("GET", "/api/v2/sessions/s_1/events", None, "not_found"),
            ("GET", "/api/v2/plans/p_1", None, "not_found"),
            ("DELETE", "/api/v2/plans/p_1", None, "not_found"),
            ("GET", "/nowhere", None, "not_found"),
        ]
        for method, path, body, code in cases:
            answer = await home.ask(method, path, body)
            assert (path, answer.status, answer.json["code"]) == (path, 404, code)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"nul", 400),
        (b'{"content": NaN}', 400),
        (b"[" * 100_000, 400),
        (b'{"content":' * 100_000, 400),
        (b'{"content": "\\ud800"}', 400),
        (b'{"content": "\xff"}', 400),
        (b'{"content": 5}', 422),
        (b'{"content": ' + b"9" * 5000 + b"}", 422),
        (b'{"content": null}', 422),
        (b'{"content": ["x"]}', 422),
        (b'["content"]', 422),
        (b'{"content": "x", "if_busy": "explode"}', 422),
        (b'{"content": "x", "context_window": -1}', 422),
        (b'{"content": "x", "context_window": 1' + b"0" * 5000 + b"}", 422),
        (b'{"content": ""}', 400),
        (b'{"content": " \\n "}', 400),
        (b'{"content": "' + b"x" * (1 << 20) + b'x"}', 413),
    ],
)
async def test_invalid_input_is_rejected_with_a_typed_problem(
    tmp_path: Path, body: bytes, status: int
) -> None:
    async with served(tmp_path) as home:
        headers = {"content-type": "application/json"}
        answer = await home.ask("POST", "/api/v2/ai/apollo/message", data=io.BytesIO(body), headers=headers)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status, answer.json["status"]) == (status, status)
        assert home.driver.heard == []


async def test_a_reused_key_gives_the_first_answer_or_a_conflict_for_another_body(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        path, key = "/api/v2/ai/apollo/message", {"idempotency-key": "k"}
        first = await home.ask("POST", path, {"content": "hi"}, headers=key)
        again = await home.ask("POST", path, {"content": "hi"}, headers=key)
        assert again.json == first.json
        other = await home.ask("POST", path, {"content": "ho"}, headers=key)
        assert (other.status, other.json["code"]) == (409, "key_reused")
        assert len(home.driver.heard) == 1


async def test_a_session_can_be_paused_resumed_interrupted_forked_and_stopped(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("on"), asyncio.Event()]) as home:
        session_id = await session_with(home, 0)
        path = f"/api/v2/sessions/{session_id}"
        paused = await home.ask("POST", f"{path}/pause")
        assert paused.json["state"] == "paused"
        assert (await home.ask("POST", f"{path}/resume")).json["state"] == "active"
        running = asyncio.ensure_future(home.ask("POST", f"{path}/message", {"message": "go"}))
        async for event in home.frames(f"{path}/events"):
            if event["type"] == "output.delta":
                break
        await home.ask("POST", f"{path}/interrupt")
        answer = await running
        assert (answer.status, answer.json["code"], answer.json["partial"]) == (502, "interrupted", "on")
        made = (await home.ask("POST", f"{path}/checkpoint", {"name": "here"})).json
        kept = (await home.ask("GET", f"{path}/checkpoints")).json["checkpoints"]
        assert [k["checkpoint_id"] for k in kept] == [made["checkpoint_id"]]
        forked = (await home.ask("POST", f"{path}/fork", {"at": "here"})).json
        assert forked["id"] != session_id
        for bodiless in ("checkpoint", "save", "fork"):  # every member of these bodies is optional
            assert (await home.ask("POST", f"{path}/{bodiless}")).status == 200
        assert len((await home.ask("GET", f"{path}/checkpoints")).json["checkpoints"]) == 2
        for place in ("restore", "fork"):
            refused = await home.ask("POST", f"{path}/{place}", {"at": "there"})
            assert (refused.status, refused.json["detail"]) == (404, "there is no checkpoint 'there'")
        assert (await home.ask("POST", f"{path}/restore")).json["faults"] == [
            {"where": "body", "why": "missing"}
        ]
        assert (await home.ask("POST", f"{path}/stop")).json["state"] == "stopped"


async def test_a_session_has_the_configured_context_window_by_default(tmp_path: Path) -> None:
    async with served(tmp_path, limits=Limits(context_window=3, default_peer="apollo")) as home:
        given = {"specialist_id": "apollo"}
        for body, window in ((given, 3), ({**given, "context_window": 0}, 0)):
            assert (await home.ask("POST", "/api/v2/sessions", body)).json["context_window"] == window
        socket = (await home.ask("POST", "/api/ai/socket/create", {"ai_name": "apollo"})).json
        async with calling(home, "/ws") as caller:
            looped = (await caller.result("startSession", userId="ann"))["sessionId"]
        for session_id in (socket["session_id"], looped):
            assert (await home.ask("GET", f"/api/v2/sessions/{session_id}")).json["context_window"] == 3


async def test_capabilities_and_peers_are_listed(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        found = (await home.ask("GET", "/api/v2/capabilities/code-analysis")).json
        assert found == [
            {"ai_id": "apollo", "score": 0.95, "primary": True, "origin": "declared"},
            {"ai_id": "athena", "score": 0.99, "primary": False, "origin": "declared"},
        ]
        high = (await home.ask("GET", "/api/v2/capabilities/code_analysis?threshold=0.97")).json
        assert [m["ai_id"] for m in high] == ["athena"]
        assert (await home.ask("GET", "/api/v2/capabilities/design")).json == []  # athena's 0.4 is below 0.7
        low = (await home.ask("GET", "/api/v2/capabilities/design?threshold=0.4")).json
        assert [m["ai_id"] for m in low] == ["athena"]
        assert (await home.ask("GET", "/api/v2/capabilities/x?threshold=2")).status == 422
        described = (await home.ask("GET", "/api/capabilities")).json
        assert "bulk" in described["features"]
        assert described["capabilities"] == {"code-analysis": ["apollo", "athena"], "design": ["athena"]}
        peers = (await home.ask("GET", "/api/v2/ai")).json["peers"]
        assert [p["id"] for p in peers] == ["apollo", "athena", "prometheus", "team:reviewers"]
        assert (peers[0]["status"], peers[0]["evidence"]) == ("idle", "no turn running")


async def test_messages_are_found_with_the_search_words_highlighted(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "why is a bird fast"})
        (said,) = (await home.ask("GET", "/api/v2/history?limit=5")).json["history"]
        assert (said["ai"], said["message"]) == ("apollo", "why is a bird fast")
        assert said["response"] == "apollo heard: why is a bird fast"
        hits = (await home.ask("GET", "/api/v2/search", params={"q": "BIRD fast"})).json["hits"]
        assert {hit["role"] for hit in hits} == {"user", "assistant"}
        for hit in hits:
            words = [hit["excerpt"][start : start + length] for start, length in hit["highlights"]]
            assert words == ["bird", "fast"]
        for query in ('" OR *', "\x02", "NEAR(", "-"):
            assert (await home.ask("GET", "/api/v2/search", params={"q": query})).status == 200
        assert (await home.ask("GET", "/api/v2/search")).status == 422
        assert (await home.ask("GET", "/api/v2/history?limit=0")).status == 422


async def test_history_and_search_are_narrowed_and_read_in_pages(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "athena", "name": "work"})
        session = made.json["id"]
        for number in range(3):
            await home.ask("POST", "/api/v2/ai/apollo/message", {"content": f"bird {number}"})
        await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "a bird of athena"})

        async def found(query: str) -> list[str]:
            history = (await home.ask("GET", f"/api/v2/history?{query}")).json["history"]
            hits = (await home.ask("GET", f"/api/v2/search?q=bird&limit=9&{query}")).json["hits"]
            messages = sorted(said["message"] for said in history)
            assert {hit["turn_id"] for hit in hits} == {said["turn_id"] for said in history}
            for one in (*hits, *history):
                assert one["session_name"] == ("work" if one["stream"] == session else None)
            return messages

        apollos = [f"bird {number}" for number in range(3)]
        assert await found("peer=apollo") == await found("peer=Apollo-ai") == apollos
        assert await found("session=work") == await found(f"session={session}") == ["a bird of athena"]
        assert await found("session=work&peer=apollo") == []
        assert len(await found("since=2000-01-01T00:00:00Z")) == 4
        assert await found("since=2999-01-01T00:00:00Z") == await found("model=gpt-5") == []
        pages, before = [], ""
        while page := (await home.ask("GET", f"/api/v2/history?limit=2&peer=apollo{before}")).json["history"]:
            pages.append([said["message"] for said in page])
            before = f"&before={page[-1]['turn_id']}"
        assert pages == [["bird 2", "bird 1"], ["bird 0"]]
        for query, status, code in (
            ("session=nothing", 404, "not_found"),
            ("before=t_nothing", 404, "not_found"),
            ("peer=appollo", 404, "unknown_peer"),
            ("since=yesterday", 400, "malformed"),
        ):
            answer = await home.ask("GET", f"/api/v2/history?{query}")
            assert (answer.status, answer.json["code"]) == (status, code)


async def test_different_provider_variables_are_requested_before_anything_runs(tmp_path: Path) -> None:
    async with served(tmp_path, by_itself=True) as home:
        theirs = {"x-rhetor-env": "theirs"}
        path = "/api/v2/ai/apollo/message"
        first = await home.ask("POST", path, {"content": "hi"}, headers=theirs)
        assert (first.status, first.json["code"]) == (409, "environment_differs")
        await home.ask("PUT", "/api/v2/environment", {"variables": {"OPENAI_API_KEY": "k"}})
        assert (await home.ask("POST", path, {"content": "hi"}, headers=theirs)).status == 200
        assert home.driver.heard == [("apollo", "hi")]


async def test_a_turn_that_the_session_does_not_have_cannot_be_abandoned(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        one, other = [
            (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"] for _ in "ab"
        ]
        said = await home.ask("POST", f"/api/v2/sessions/{one}/message", {"message": "hi"})
        turn = said.json["turn_id"]
        for session, id in ((one, "t_none"), (other, turn)):
            refused = await home.ask("POST", f"/api/v2/sessions/{session}/turns/{id}/abandon")
            assert (refused.status, refused.json["detail"]) == (404, f"there is no turn {id!r}")
        ended = await home.ask("POST", f"/api/v2/sessions/{one}/turns/{turn}/abandon")
        assert (ended.status, ended.json) == (200, {"turn_id": turn, "continues": None})
        events = await home.ask("GET", f"/api/v2/plans/{one}/events")
        assert (events.status, events.json["detail"]) == (404, f"there is no plan {one!r}")


async def test_an_anonymous_turn_is_interrupted_if_its_client_disconnects(tmp_path: Path) -> None:
    script = [Text("a"), asyncio.Event()]
    async with served(tmp_path, script, limits=Limits(abandon_after=0.01)) as home:
        url = "http://localhost/api/v2/ai/apollo/stream"
        response = await home.local.post(url, json={"content": "hi"})
        await response.content.readline()
        session_id = response.headers["x-session-id"]
        response.close()
        head = await home.hub.state.store.head(session_id)
        assert head is not None
        end, _ = await turn_end(
            home.hub.state.store, session_id, response.headers["x-turn-id"], Position(head.epoch, 0)
        )
        assert end == TurnInterrupted("the caller disconnected")
