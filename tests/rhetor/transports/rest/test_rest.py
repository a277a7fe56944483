"""REST and server-sent events, through real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import Position, TurnInterrupted
from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut, ProviderTimeout, RateLimited, ToolUnanswered
from rhetor.hub.catalog.turn_log import turn_end
from rhetor.hub.core.limits import Limits
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.transports.calling import calling
from tests.scale import FULL
from tests.served import Answer, Served, served

pytestmark = pytest.mark.anyio
READERS, CHUNKS = (50, 5000) if FULL else (12, 2000)


def sse(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


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


async def _session(home: Served, messages: int) -> str:
    made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json
    for n in range(messages):
        await home.ask("POST", f"/api/v2/sessions/{made['id']}/message", {"message": str(n)})
    return str(made["id"])


async def test_events_come_in_pages_and_continue_after_a_cursor(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        path = f"/api/v2/sessions/{await _session(home, 3)}/events"
        whole = (await home.ask("GET", path)).json
        assert [e["seq"] for e in whole["events"]] == list(range(1, whole["head"] + 1))
        assert [e["prev"] for e in whole["events"]] == list(range(whole["head"]))
        assert whole["events"][1]["data"]["content"] == "0"
        pages, cursor = [], None
        while True:
            page = (await home.ask("GET", f"{path}?limit=2" + (f"&after={cursor}" if cursor else ""))).json
            if not page["events"]:
                break
            pages += page["events"]
            cursor = page["events"][-1]["cursor"]
        assert pages == whole["events"]


async def test_resuming_at_a_cursor_has_a_defined_outcome(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await _session(home, 2)
        path = f"/api/v2/sessions/{session_id}/events"
        head = await home.hub.state.store.head(session_id)
        assert head is not None
        await home.hub.state.store.truncate(session_id, 4)
        cases = {
            f"{head.epoch}:{head.head}": (200, None),
            f"{head.epoch}:3": (200, None),
            f"{head.epoch}:1": (410, "truncated"),
            f"{'0' * 32}:1": (410, "epoch_changed"),
            f"{head.epoch}:{head.head + 1}": (410, "ahead"),
            "nonsense": (400, None),
            f"{head.epoch}:-1": (400, None),
            f"{head.epoch}:١": (400, None),
        }
        for cursor, (status, outcome) in cases.items():
            answer = await home.ask("GET", path, params={"after": cursor})
            assert (cursor, answer.status, answer.json.get("outcome")) == (
                cursor,
                status,
                outcome if status != 200 else "ok",
            )
        lost = (await home.ask("GET", path, params={"after": f"{head.epoch}:1"})).json
        assert (lost["earliest"], lost["head"], lost["recovered"]) == (4, head.head, False)


async def test_the_last_event_id_header_overrides_after(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await _session(home, 1)
        head = await home.hub.state.store.head(session_id)
        assert head is not None
        headers = {"last-event-id": f"{head.epoch}:{head.head - 1}"}
        async for event in home.frames(f"/api/v2/sessions/{session_id}/events?after={head.epoch}:1", headers):
            assert event["seq"] == head.head
            break


async def test_a_restore_ends_the_stream_of_followers_with_its_outcome(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await _session(home, 1)
        frames = home.frames(f"/api/v2/sessions/{session_id}/events")
        first = await anext(frames)
        restored = await home.ask("POST", f"/api/v2/sessions/{session_id}/restore", {"at": first["cursor"]})
        assert restored.status == 200
        last = [event async for event in frames][-1]
        assert (last["outcome"], last["recovered"]) == ("epoch_changed", False)


async def test_a_session_can_be_paused_resumed_interrupted_forked_and_stopped(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("on"), asyncio.Event()]) as home:
        session_id = await _session(home, 0)
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


async def test_different_provider_variables_are_requested_before_anything_runs(tmp_path: Path) -> None:
    async with served(tmp_path, by_itself=True) as home:
        theirs = {"x-rhetor-env": "theirs"}
        path = "/api/v2/ai/apollo/message"
        first = await home.ask("POST", path, {"content": "hi"}, headers=theirs)
        assert (first.status, first.json["code"]) == (409, "environment_differs")
        await home.ask("PUT", "/api/v2/environment", {"variables": {"OPENAI_API_KEY": "k"}})
        assert (await home.ask("POST", path, {"content": "hi"}, headers=theirs)).status == 200
        assert home.driver.heard == [("apollo", "hi")]


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


def digest(events: list[dict[str, Any]]) -> str:
    view = [(e["type"], e["seq"], e["data"].get("text")) for e in events]
    return hashlib.sha256(json.dumps(view).encode()).hexdigest()


async def test_followers_cut_at_random_places_all_receive_the_whole_log(tmp_path: Path) -> None:
    """Many readers are each cut at random places and continue with their cursors."""
    script = [item for n in range(CHUNKS // 20) for item in (*_distinct(n),)]
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    try:
        async with served(tmp_path, [*script, Done()], store=store) as home:
            session_id = await _session(home, 0)
            path = f"/api/v2/sessions/{session_id}"
            readers = [
                asyncio.ensure_future(_follow_with_cuts(home, f"{path}/events", random.Random(seed)))
                for seed in range(READERS)
            ]
            answer = await home.ask("POST", f"{path}/message", {"message": "go"})
            assert answer.status == 200
            seen = await asyncio.gather(*readers)
            log: list[dict[str, Any]] = []
            while page := (await _page(home, path, log)).json["events"]:
                log += page
            assert len(log) >= CHUNKS
            assert {digest(events) for events in seen} == {digest(log)}
    finally:
        await store.aclose()


def _distinct(n: int) -> list[Text]:
    """Return chunks of alternating channels, which are not joined into one event."""
    return [Text(f"{n}.{m} ", "answer" if m % 2 else "reasoning") for m in range(20)]


async def _page(home: Served, path: str, log: list[dict[str, Any]]) -> Answer:
    after = {"after": log[-1]["cursor"]} if log else {}
    return await home.ask("GET", f"{path}/events", params={"limit": "1000", **after})


async def _follow_with_cuts(home: Served, path: str, dice: random.Random) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while True:
        headers = {"last-event-id": events[-1]["cursor"]} if events else {}
        left = dice.randint(1, CHUNKS // 2)
        frames = home.frames(path, headers)
        async for event in frames:
            assert event["prev"] == (events[-1]["seq"] if events else 0)
            events.append(event)
            left -= 1
            if event["type"] == "turn.completed":
                return events
            if not left:
                break
        await frames.aclose()  # type: ignore[attr-defined]
