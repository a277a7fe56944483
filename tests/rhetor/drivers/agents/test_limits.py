"""Usage limits of coding agents: when they reset, and that their notices are not part of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rhetor.domain.output import Text
from rhetor.drivers.agents.acp.protocol import Acp
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.failures import failed, refused
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.errors import ProviderFailed, RateLimited, TurnFailure

SAID = "You've hit your 5-hour limit · resets 10pm (Europe/Rome)"
AT, TIME = 1_772_380_800, "2026-03-01T16:00:00.000Z"


def last(agent: AgentProtocol, *lines: dict[str, Any]) -> Decoded:
    """Decode the lines, and return the last one."""
    return [agent.decode(json.dumps(line).encode()) for line in lines][-1]


def claude_limit(status: str = "rejected", **info: Any) -> dict[str, Any]:
    limit = {"status": status, "resetsAt": AT, "rateLimitType": "five_hour", **info}
    return {"type": "rate_limit_event", "rate_limit_info": limit}


def claude_result(said: str = SAID, status: int | None = 429) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "result": said,
        **({} if status is None else {"api_error_status": status}),
    }


def resets_at(decoded: Decoded) -> object:
    failure = decoded.failure
    assert isinstance(failure, RateLimited), failure
    assert failure.data["hint"]
    return failure.data["resets_at"]


@pytest.mark.parametrize("status", [429, None])
def test_the_limit_that_claude_code_reports_in_an_event_resets_at_its_time(status: int | None) -> None:
    agent = ClaudeCode(Opening("/"))
    agent.prompt("hi")
    assert resets_at(last(agent, claude_limit(), claude_result(status=status))) == TIME


@pytest.mark.parametrize(
    "event", [claude_limit("allowed"), claude_limit("allowed_warning"), claude_limit(resetsAt=None)]
)
def test_a_limit_of_claude_code_that_is_not_reached_is_no_limit(event: dict[str, Any]) -> None:
    agent = ClaudeCode(Opening("/"))
    agent.prompt("hi")
    failure = last(agent, event, claude_result("API Error: 429 slow down")).failure
    assert isinstance(failure, RateLimited) and "resets_at" not in failure.data


def test_the_limit_of_an_earlier_turn_does_not_count() -> None:
    agent = ClaudeCode(Opening("/"))
    agent.prompt("hi")
    last(agent, claude_limit(), claude_result())
    agent.prompt("again")
    failure = last(agent, claude_result("API Error: 429 slow down")).failure
    assert isinstance(failure, RateLimited) and "resets_at" not in failure.data


def test_the_older_message_of_claude_code_has_the_time() -> None:
    agent = ClaudeCode(Opening("/"))
    agent.prompt("hi")
    assert resets_at(last(agent, claude_result(f"Claude AI usage limit reached|{AT}", None))) == TIME


def test_the_notice_of_a_limit_is_not_part_of_claude_codes_answer() -> None:
    agent = ClaudeCode(Opening("/"))
    agent.prompt("hi")
    message = {"model": "<synthetic>", "content": [{"type": "text", "text": SAID}]}
    params = {"rate_limit_info": claude_limit()["rate_limit_info"]}
    line = {"type": "assistant", "error": "rate_limit", "message": message, "api_error_params": params}
    notice = last(agent, line)
    assert not any(isinstance(output, Text) for output in notice.outputs)
    assert resets_at(last(agent, claude_result())) == TIME


def codex(*notified: dict[str, Any], info: object = "usageLimitExceeded", said: str = SAID) -> Decoded:
    agent = Codex(Opening("/", memory={"session_id": "t1"}))
    agent.resume(in_turn=True, asked={})
    error = {"message": said, "codexErrorInfo": info}
    turn = {"id": "u1", "status": "failed", "error": error}
    done = {"method": "turn/completed", "params": {"threadId": "t1", "turn": turn}}
    return last(agent, *notified, done)


def window(percent: int, at: int) -> dict[str, int]:
    return {"usedPercent": percent, "windowDurationMins": 300, "resetsAt": at}


def codex_limits(**limits: object) -> dict[str, Any]:
    return {"method": "account/rateLimits/updated", "params": {"rateLimits": limits}}


def test_the_limit_of_codex_resets_when_its_window_that_is_used_up_does() -> None:
    first = codex_limits(primary=window(100, AT), secondary=window(40, AT + 999))
    assert resets_at(codex(first, codex_limits(secondary=None, planType="plus"))) == TIME
    both = codex_limits(primary=window(100, AT - 999), secondary=window(100, AT))
    assert resets_at(codex(both)) == TIME


def test_the_message_of_codex_has_the_time_if_no_window_is_used_up() -> None:
    decoded = codex(
        codex_limits(primary=window(50, AT)),
        said="You've hit your usage limit. Try again later or try again in 2 days 3 hours.",
    )
    assert isinstance(decoded.failure, RateLimited) and "resets_at" in decoded.failure.data


def test_a_limit_of_codex_without_a_time_fails_with_its_hint() -> None:
    failure = codex(said="You've hit your usage limit. Ask your admin.").failure
    assert isinstance(failure, ProviderFailed) and not isinstance(failure, RateLimited)
    assert failure.data["hint"]


def acp_error(code: int, message: str, data: object = None) -> TurnFailure | None:
    agent = Acp(Opening("/", memory={"session_id": "s1", "open": True, "prompts": 1}))
    agent.resume(in_turn=True, asked={})
    error = {"code": code, "message": message, "data": data}
    return last(agent, {"jsonrpc": "2.0", "id": "prompt-1", "error": error}).failure


@pytest.mark.parametrize(
    ("code", "message", "data"),
    [
        (429, "Rate limit exceeded", {"error": {"details": [{"retryDelay": "3600s"}]}}),
        (429, "Rate limit exceeded", {"retryAfter": 3600}),
        (500, "You have exhausted your capacity on this model. Your quota will reset after 2h52m39s.", None),
        (-32603, "Internal error", {"details": "You exceeded your current quota. Please retry in 3600.5s."}),
    ],
)
def test_an_error_of_an_acp_agent_has_the_time(code: int, message: str, data: object) -> None:
    failure = acp_error(code, message, data)
    assert isinstance(failure, RateLimited) and "resets_at" in failure.data


def test_an_error_of_an_acp_agent_without_a_time_has_none() -> None:
    failure = acp_error(429, "Rate limit exceeded. Try again later.")
    assert isinstance(failure, RateLimited) and "resets_at" not in failure.data


def test_a_time_in_an_error_that_is_no_limit_does_not_count() -> None:
    assert not isinstance(failed("gemini", "the server restarts; try again in 5 minutes"), RateLimited)
    assert "resets_at" not in refused("gemini", "overloaded, try again in 5 minutes", 503, None).data
