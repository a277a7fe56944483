"""Tools that clients run, and permissions, through the real routes and with a provider over HTTP."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.command import AnswerPermission, AnswerTool
from rhetor.domain.principal import Principal
from rhetor.errors import Forbidden, NotFound
from rhetor.hub.core.limits import Limits
from tests.provider import Failure, Script, ToolCall, Usage
from tests.rhetor.drivers.talk import anthropic_at, openai_at
from tests.tooled import WEATHER, At, tooled

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("at", [openai_at, anthropic_at])
NESTED = {"place": {"town": "Pylos", "at": [1.5, {"deep": None}], "ä": True}}
OTHER = Principal.person("somebody else", local=True)


def wishes(*arguments: Any, text: str = "Let me see.", name: str = "weather") -> Script:
    """Return an answer that ends with one tool call for each of the arguments."""
    calls = tuple(
        ToolCall(name, each if isinstance(each, str) else json.dumps(each), f"call_{n}", piece=7)
        for n, each in enumerate(arguments)
    )
    return Script(chunks=(text,), tool_calls=calls, usage=Usage(10, 5))


RAINS = Script(chunks=("It ", "rains."), usage=Usage(20, 3))


def results_of(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return ids and results of tools in a request, in the format of either provider."""
    found: list[tuple[str, Any]] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            found.append((message["tool_call_id"], message["content"]))
        parts = message["content"] if isinstance(message["content"], list) else []
        found += [(p["tool_use_id"], p["content"][0]["text"]) for p in parts if p["type"] == "tool_result"]
    return found


def parsed(results: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(id, json.loads(text)) for id, text in results]


@BOTH
async def test_nested_arguments_reach_the_client_and_its_result_the_model(tmp_path: Path, at: At) -> None:
    async with tooled(tmp_path, at=at) as house:
        house.provider.script(wishes(NESTED), RAINS)
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        call_id = call.pop("call_id")
        assert call == {"name": "weather", "arguments": NESTED, "runs_at": "client"}
        result = {"sky": ["grey", {"mm": 3}], "sure": False}
        answer = await house.give(call_id, result)
        assert (answer.status, answer.json["call_id"]) == (200, call_id)
        whole = (await turn).json
        assert whole["response"] == "Let me see.\n\nIt rains."
        assert whole["usage"] == {"input_tokens": 30, "output_tokens": 8, "cached_tokens": None}
        assert [b["tools"] != [] for b in house.provider.requests] == [True, True]
        assert parsed(results_of(house.provider.requests[1])) == [("call_0", result)]
        events = [e["type"] for e in await house.events("turn.completed")]
        assert events == [
            "session.state",
            "message.accepted",
            "turn.started",
            "output.delta",
            "usage.reported",
            "tool.called",
            "tool.returned",
            "output.delta",
            *(["output.delta"] * (len(events) - 10)),
            "usage.reported",
            "turn.completed",
        ]


async def test_a_stream_carries_the_call_and_its_result(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes(NESTED), RAINS)
        await house.open(WEATHER)
        path = f"/sessions/{house.session_id}/stream"
        stream = asyncio.create_task(house.ask("POST", path, {"message": "hi"}))
        [call] = await house.asked("tool.called")
        await house.give(call["call_id"], "wet", is_error=True)
        frames = [json.loads(x[6:]) for x in (await stream).text.splitlines() if x.startswith("data: ")]
        shown = [f["type"] for f in frames if f["type"] != "content"]
        assert shown == ["tool_call", "tool_result", "done"]
        returned = next(f for f in frames if f["type"] == "tool_result")
        assert (returned["result"], returned["is_error"]) == ("wet", True)


async def test_only_the_first_answer_is_accepted(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({"place": 1}), Script(chunks=("ok",), hold={0: "go"}))
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        answers = await asyncio.gather(*(house.give(call["call_id"], n) for n in range(5)))
        assert sorted(a.status for a in answers) == [200, 409, 409, 409, 409]
        assert {a.json["code"] for a in answers if a.status == 409} == {"conflict"}
        house.provider.gate("go").release()
        assert (await turn).status == 200
        assert (await house.give(call["call_id"], 9)).status == 409
        events = await house.events("turn.completed")
        assert sum(e["type"] == "tool.returned" for e in events) == 1


async def test_an_answer_repeated_with_its_key_is_given_once(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({"place": 1}), RAINS)
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        key = {"Idempotency-Key": "k1"}
        first = await house.give(call["call_id"], 1, headers=key)
        await turn
        again = await house.give(call["call_id"], 1, headers=key)
        assert (first.status, again.status, again.json) == (200, 200, first.json)
        other = await house.give(call["call_id"], 2, headers=key)
        assert (other.status, other.json["code"]) == (409, "key_reused")


async def test_an_unknown_call_or_one_of_another_owner_is_404(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({"place": 1}), RAINS)
        session_id = await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        assert (await house.give("call_none", 1)).status == 404
        with pytest.raises(NotFound):
            await house.home.hub.execute(OTHER, AnswerTool(session_id, call["call_id"], 1))
        other = await house.open(WEATHER)
        assert (await house.give(call["call_id"], 1)).status == 404
        house.session_id = session_id
        assert other != session_id
        assert (await house.give(call["call_id"], 1)).status == 200
        await turn


@BOTH
async def test_concurrent_calls_can_be_answered_in_any_order(tmp_path: Path, at: At) -> None:
    async with tooled(tmp_path, at=at) as house:
        house.provider.script(wishes({"place": 0}, {"place": 1}, {"place": 2}), RAINS)
        await house.open(WEATHER)
        turn = house.say()
        calls = await house.asked("tool.called", 3)
        assert sorted(c["arguments"]["place"] for c in calls) == [0, 1, 2]
        for call in reversed(calls):
            assert await house.state() == "waiting"
            assert (await house.give(call["call_id"], call["arguments"])).status == 200
        assert (await turn).status == 200
        assert parsed(results_of(house.provider.requests[1])) == [
            (f"call_{n}", {"place": n}) for n in range(3)
        ]
        assert await house.state() == "active"


async def test_a_session_with_a_pending_call_is_listed_as_waiting(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({"place": 0}), RAINS)
        idle, busy = await house.open(), await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        for state, ids in (("waiting", [busy]), ("active", [idle])):
            listed = await house.ask("GET", f"/sessions?state={state}")
            assert [(s["id"], s["state"]) for s in listed.json["sessions"]] == [(ids[0], state)]
        await house.give(call["call_id"], 1)
        await turn


async def test_a_turn_interrupted_while_it_waits_accepts_no_answer(tmp_path: Path) -> None:
    asks = {**WEATHER, "name": "risky", "needs_approval": True}
    async with tooled(tmp_path) as house:
        risky = ToolCall("risky", '{"place": 1}', "call_r")
        house.provider.script(Script(tool_calls=(*wishes({"place": 0}).tool_calls, risky)))
        await house.open(WEATHER, asks)
        turn = house.say()
        [call] = await house.asked("tool.called")
        [request] = await house.asked("permission.asked")
        await house.ask("POST", f"/sessions/{house.session_id}/interrupt")
        assert (await turn).json["code"] == "interrupted"
        events = await house.events("turn.interrupted")
        [withdrawn] = [e["data"] for e in events if e["type"] == "permission.answered"]
        assert withdrawn == {
            "request_id": request["request_id"],
            "option_id": None,
            "by": "the turn's end",
        }
        assert (await house.give(call["call_id"], 1)).status == 409
        assert (await house.choose(request["request_id"], "allow")).status == 409
        assert (await house.ask("GET", "/permissions")).json == {"permissions": []}
        assert await house.state() == "active"
        assert len(house.provider.requests) == 1


async def test_a_paused_session_accepts_an_answer_and_completes_its_turn(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({"place": 0}), RAINS, Script(chunks=("Later.",)))
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        await house.ask("POST", f"/sessions/{house.session_id}/pause")
        assert await house.state() == "paused"
        later = house.say("And now?")
        await house.asked("turn.queued")
        assert (await house.give(call["call_id"], 1)).status == 200
        assert (await turn).json["response"] == "Let me see.\n\nIt rains."
        assert len(house.provider.requests) == 2
        await house.ask("POST", f"/sessions/{house.session_id}/resume")
        assert (await later).json["response"] == "Later."


ASKS = {**WEATHER, "needs_approval": True}


@BOTH
async def test_a_call_is_made_once_it_is_allowed(tmp_path: Path, at: At) -> None:
    async with tooled(tmp_path, at=at) as house:
        house.provider.script(wishes(NESTED), RAINS)
        await house.open(ASKS)
        turn = house.say()
        [request] = await house.asked("permission.asked")
        assert request["tool"] == "weather"
        assert request["detail"]["arguments"] == NESTED
        assert [(o["option_id"], o["kind"]) for o in request["options"]] == [
            ("allow", "allow_once"),
            ("deny", "reject_once"),
        ]
        [listed] = (await house.ask("GET", "/permissions")).json["permissions"]
        assert {k: listed[k] for k in request} == request
        assert (listed["session_id"], listed["peer"]) == (house.session_id, "nestor")
        assert (await house.choose(request["request_id"], "perhaps")).status == 422
        assert (await house.choose(request["request_id"], "allow")).status == 200
        assert (await house.choose(request["request_id"], "deny")).status == 409
        [call] = await house.asked("tool.called")
        assert call["call_id"] == request["detail"]["call_id"]
        await house.give(call["call_id"], "wet")
        assert (await turn).status == 200
        assert results_of(house.provider.requests[1]) == [("call_0", "wet")]


async def test_a_denied_call_is_not_made_and_the_model_gets_the_denial(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes(NESTED), RAINS)
        await house.open(ASKS)
        turn = house.say()
        [request] = await house.asked("permission.asked")
        assert (await house.choose(request["request_id"], "deny")).status == 200
        assert (await turn).status == 200
        [(id, told)] = results_of(house.provider.requests[1])
        assert (id, "denied" in told) == ("call_0", True)
        events = await house.events("turn.completed")
        assert "tool.called" not in [e["type"] for e in events]


async def test_an_unanswered_request_expires_as_denied(tmp_path: Path) -> None:
    async with tooled(tmp_path, limits=Limits(permission_seconds=0.1)) as house:
        house.provider.script(wishes(NESTED), RAINS)
        await house.open(ASKS)
        assert (await house.say()).status == 200
        events = await house.events("turn.completed")
        [asked] = [e["data"] for e in events if e["type"] == "permission.asked"]
        [answered] = [e["data"] for e in events if e["type"] == "permission.answered"]
        request_id = asked["request_id"]
        assert answered == {"request_id": request_id, "option_id": None, "by": "expiry"}
        [(_, told)] = results_of(house.provider.requests[1])
        assert "denied" in told
        assert (await house.choose(request_id, "allow")).status == 409


async def test_only_the_owner_can_approve_and_not_a_program(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes(NESTED), RAINS)
        session_id = await house.open(ASKS)
        turn = house.say()
        [request] = await house.asked("permission.asked")
        answer = AnswerPermission(session_id, request["request_id"], "allow")
        program = Principal("me", frozenset({"agent"}), local=True)
        with pytest.raises(Forbidden):
            await house.home.hub.execute(program, answer)
        with pytest.raises(NotFound):
            await house.home.hub.execute(OTHER, answer)
        await house.choose(request["request_id"], "deny")
        await turn


@BOTH
@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script(failure=Failure(400)), "provider_failed"),
        (Script(failure=Failure(401)), "provider_denied"),
        (Script(failure=Failure(400, "context_overflow")), "context_overflow"),
        (Script(chunks=("It ", "rains"), cut_after=1), "provider_cut"),
        (Script(chunks=("It ", "rains"), end_after=1), "provider_cut"),
        (Script(chunks=("It ", "rains"), error_after=1, failure=Failure(429)), "rate_limited"),
        (Script(chunks=("It ", "rains"), malformed_after=1), "provider_cut"),
    ],
)
async def test_a_provider_that_fails_after_a_result_fails_the_turn(
    tmp_path: Path, at: At, script: Script, code: str
) -> None:
    async with tooled(tmp_path, at=at) as house:
        house.provider.script(wishes(NESTED), script)
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        await house.give(call["call_id"], "wet")
        answer = await turn
        begun = "\n\nIt " if script.chunks else ""
        assert (answer.json["code"], answer.json["partial"]) == (code, f"Let me see.{begun}")
        assert [e["type"] for e in (await house.events("turn.failed"))][-1] == "turn.failed"


async def test_a_model_call_after_a_result_is_retried_if_possible(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes(NESTED), Script(failure=Failure(500)), RAINS)
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        await house.give(call["call_id"], "wet")
        assert (await turn).json["response"] == "Let me see.\n\nIt rains."
        assert [len(results_of(body)) for body in house.provider.requests] == [0, 1, 1]


DEEP = '{"place": ' + "[" * 5000 + "]" * 5000 + "}"


@BOTH
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"place": ', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        (DEEP, "nested"),
        ('{"place": "\\ud800"}', "not JSON"),
        ('{"place": NaN}', "not JSON"),
    ],
)
async def test_a_malformed_call_is_reported_to_the_model(
    tmp_path: Path, at: At, arguments: str, why: str
) -> None:
    async with tooled(tmp_path, at=at) as house:
        house.provider.script(wishes(arguments), RAINS)
        await house.open(WEATHER)
        assert (await house.say()).json["response"] == "Let me see.\n\nIt rains."
        events = await house.events("turn.completed")
        [called] = [e["data"] for e in events if e["type"] == "tool.called"]
        [returned] = [e["data"] for e in events if e["type"] == "tool.returned"]
        assert (called["runs_at"], called["arguments"]) == ("hub", arguments)
        assert (returned["is_error"], returned["result"]["code"]) == (True, "not_understood")
        assert why in returned["result"]["detail"]
        [(id, told)] = results_of(house.provider.requests[1])
        assert (id, why in told) == ("call_0", True)


async def test_an_unknown_tool_is_reported_to_the_model(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({}, name="clock"), RAINS)
        await house.open(WEATHER)
        assert (await house.say()).status == 200
        [(_, told)] = results_of(house.provider.requests[1])
        assert "available: weather" in told


async def test_repeated_malformed_calls_end_the_turn(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(*[wishes("{")] * 4)
        await house.open(WEATHER)
        answer = await house.say()
        assert (answer.status, answer.json["code"]) == (502, "tool_call_refused")
        assert len(house.provider.requests) == 3


@BOTH
async def test_arguments_that_are_too_large_end_the_turn(tmp_path: Path, at: At) -> None:
    async with tooled(tmp_path, at=at) as house:
        huge = ToolCall("weather", json.dumps({"place": "x" * (1 << 20)}), piece=1 << 16)
        fits = ToolCall("weather", json.dumps({"place": "x" * 400_000}), piece=1 << 16)
        house.provider.script(Script(tool_calls=(huge,)), Script(tool_calls=(fits,)), RAINS)
        await house.open(WEATHER)
        answer = await house.say()
        assert (answer.status, answer.json["code"]) == (502, "tool_call_refused")
        turn = house.say()
        [call] = await house.asked("tool.called")
        assert len(call["arguments"]["place"]) == 400_000
        await house.give(call["call_id"], 1)
        assert (await turn).status == 200


async def test_invalid_results_are_rejected_and_the_turn_keeps_waiting(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(wishes({"place": 1}), RAINS)
        await house.open(WEATHER)
        turn = house.say()
        [call] = await house.asked("tool.called")
        path = f"/sessions/{house.session_id}/tool-results/{call['call_id']}"
        for body, status in (
            (b'{"result": ', 400),
            (b'{"result": NaN}', 400),
            (b'{"result": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
            (b'{"result": "\\ud800"}', 400),
            (b'{"value": 1}', 422),
            (b'{"result": 1, "is_error": "yes"}', 422),
            (b'{"result": "' + b"x" * (1 << 20) + b'"}', 413),
        ):
            headers = {"content-type": "application/json"}
            answer = await house.ask("POST", path, data=io.BytesIO(body), headers=headers)
            assert (body[:30], answer.status) == (body[:30], status)
        assert await house.state() == "waiting"
        assert (await house.give(call["call_id"], None)).status == 200
        assert (await turn).status == 200


@pytest.mark.parametrize(
    "tools",
    [
        [{**WEATHER, "name": "with space"}],
        [{**WEATHER, "name": ""}],
        [{**WEATHER, "name": "x" * 65}],
        [WEATHER, WEATHER],
        [{**WEATHER, "parameters": {"type": "array"}}],
        [{**WEATHER, "parameters": "none"}],
        [{**WEATHER, "name": f"t{n}"} for n in range(129)],
        [{"description": "no name"}],
    ],
)
async def test_a_session_with_invalid_tools_is_rejected(tmp_path: Path, tools: Any) -> None:
    async with tooled(tmp_path) as house:
        answer = await house.ask("POST", "/sessions", {"specialist_id": "nestor", "tools": tools})
        assert (answer.status, answer.json["code"]) == (422, "unprocessable")
        assert (await house.ask("GET", "/sessions")).json["sessions"] == []


async def test_a_session_shows_its_tools_and_a_fork_has_them(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        session_id = await house.open(WEATHER)
        shown = (await house.ask("GET", f"/sessions/{session_id}")).json["tools"]
        assert shown == [{**WEATHER, "needs_approval": False}]
        fork = await house.ask("POST", f"/sessions/{session_id}/fork", {})
        assert fork.json["tools"] == shown


async def test_a_session_without_tools_sends_none_to_the_model(tmp_path: Path) -> None:
    async with tooled(tmp_path) as house:
        house.provider.script(RAINS)
        await house.open()
        assert (await house.say()).json["response"] == "It rains."
        assert "tools" not in house.provider.requests[0]
