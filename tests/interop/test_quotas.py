"""Usage limits of real coding agents: what they report when their provider refuses a call, and how their
turns continue."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.interop.agents import Agent, named
from tests.interop.conftest import check_installed
from tests.interop.home import House
from tests.provider.process import ProviderProcess
from tests.provider.script import Failure, Script

# with a plan instead of an API key, Claude Code reads the limits of the plan from the headers
PLAN = {
    "claude-code": {
        "env": {"CLAUDE_CODE_OAUTH_TOKEN": "dummy", "DISABLE_AUTOUPDATER": "1"},
        "pass_env": [
            *("HOME", "PATH", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"),
            *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
        ],
    },
    "codex": named("codex").settings,
}


def limit_of(name: str, at: int) -> Script:
    """Return the provider's answer to an agent whose usage limit resets at a Unix time."""
    if name == "codex":
        error: dict[str, Any] = {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": at}
        headers = {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": str(at)}
        headers["x-codex-primary-window-minutes"] = "300"
        return Script(failure=Failure(429, headers=headers, body=json.dumps({"error": error})))
    error = {"type": "rate_limit_error", "message": "This request would exceed your account's rate limit."}
    headers = {"x-should-retry": "false", "retry-after": "3600"}
    for window in ("", "5h-"):
        headers[f"anthropic-ratelimit-unified-{window}status"] = "rejected"
        headers[f"anthropic-ratelimit-unified-{window}reset"] = str(at)
    headers["anthropic-ratelimit-unified-representative-claim"] = "five_hour"
    headers["anthropic-ratelimit-unified-5h-utilization"] = "1.0"
    body = json.dumps({"type": "error", "error": error})
    return Script(failure=Failure(429, headers=headers, body=body))


def configure(house: House, **on_pause: str) -> None:
    """Configure the agents with a plan, and what happens when its limit is reached."""
    house.configure(
        {
            name: {**settings, "quota": {"on_pause": on_pause.get(name.replace("-", "_"), "ask")}}
            for name, settings in PLAN.items()
        }
    )


def test_a_turn_of_an_agent_continues_when_its_limit_resets_even_if_the_hub_was_killed(
    agent: Agent, house: House
) -> None:
    if agent.name not in PLAN:
        pytest.skip("it reports no limits of a plan")
    configure(house, claude_code="continue", codex="continue")
    house.provider.script(Script(chunks=("I keep it",)))
    house.say(agent.name, "remember the heron")
    at = int(time.time()) + 8
    house.provider.script(limit_of(agent.name, at), Script(chunks=("Heron",)))
    with house.speaking(agent.name, "which bird?") as turn:
        paused = turn.until("quota.paused")
        asked = turn.until("permission.asked")
    assert paused["data"]["resets_at"] == asked["data"]["detail"]["resets_at"]
    assert "hit your" in paused["data"]["reason"]
    house.kill_hub()
    assert house.aish("list").code == 0  # starts the next hub
    events = house.turn(paused["session_id"], paused["turn_id"])
    assert (events[-1]["type"], events[-1]["data"]["text"]) == ("turn.completed", "Heron")
    assert time.time() >= at
    assert "remember the heron" in house.asked(agent)[-1]  # in the agent's own conversation


@pytest.fixture
def both(place: Path, provider: ProviderProcess) -> House:
    agents = named("claude-code"), named("codex")
    for each in agents:
        check_installed(each)
    return House(place, provider, agents)


def test_codex_takes_a_turn_of_claude_code_over_and_claude_code_is_told(agent: Agent, both: House) -> None:
    if agent.name != "claude-code":
        both.close()
        pytest.skip("tested once, with both agents")
    try:
        configure(both, claude_code="handover:codex")
        both.provider.script(Script(chunks=("I keep it",)))
        assert both.say("claude-code", "remember the heron").out == "I keep it\n"
        both.provider.script(limit_of("claude-code", int(time.time()) + 3600), Script(chunks=("A grey one",)))
        handed = both.say("claude-code", "which bird?")
        assert (handed.out, "codex answers instead of claude-code" in handed.err) == ("A grey one\n", True)
        told = both.asked(named("codex"))[-1]
        assert all(said in told for said in ("remember the heron", "I keep it", "which bird?"))
        both.provider.script(Script(chunks=("Yes, grey",)))
        assert both.say("claude-code", "what colour?").out == "Yes, grey\n"
        told = both.asked(named("claude-code"))[-1]
        assert all(said in told for said in ("which bird?", "A grey one", "what colour?"))
    finally:
        left = both.close()
    assert left == []
