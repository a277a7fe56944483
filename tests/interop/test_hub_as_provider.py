"""Real coding agents whose model is a peer of the hub: they call it through the API of their vendor."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.interop.agents import Agent, opencode_config
from tests.interop.home import House
from tests.provider.script import Script

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "other-clients.md"
TITLE = "Generate a title"


def shown(agent: str, url: str) -> str:
    """Return the configuration of an agent as the page shows it, for the hub at a URL."""
    found = re.search(rf"^{agent}, in `.*?^```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].replace("http://127.0.0.1:8300", url)


def _opencode(house: House, url: str) -> None:
    ours = {
        **opencode_config("", "", ""),
        **json.loads(shown("OpenCode", url)),
        "enabled_providers": ["rhetor"],
    }
    (house.home / ".config" / "opencode" / "opencode.json").write_text(json.dumps(ours))


def _claude(house: House, url: str) -> None:
    (house.home / ".claude").mkdir(exist_ok=True)
    (house.home / ".claude" / "settings.json").write_text(shown("Claude Code", url))


def _codex(house: House, url: str) -> None:
    quiet = "check_for_update_on_startup = false\nanalytics = {enabled = false}\n"
    (house.home / ".codex" / "config.toml").write_text(quiet + shown("Codex", url))


# how each agent is configured to use the hub at a URL, with the key of its own in RHETOR_TOKEN
CONFIGURED: dict[str, Callable[[House, str], None]] = {
    "claude-code": _claude,
    "codex": _codex,
    "opencode": _opencode,
}


@pytest.fixture
def customer(agent: Agent, house: House) -> Agent:
    """An agent whose model is `apollo`, which is answered by the scripted provider."""
    if agent.name not in CONFIGURED:
        pytest.skip(f"{agent.name} is not configured here to use the hub as its provider")
    house.environment |= {
        "OPENAI_BASE_URL": f"{house.provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODELS__DEFAULT": "openai/scripted",
    }
    for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        house.environment.pop(name, None)
    point_to_hub(agent, house)
    return agent


def point_to_hub(agent: Agent, house: House) -> None:
    """Start the hub, and let the agent use it."""
    house.say("list")
    CONFIGURED[agent.name](house, json.loads(house.say("status", "--json").out)["url"])


def calls_of(house: House) -> list[dict[str, Any]]:
    """Return the bodies of the calls to the provider that the agent's work needed."""
    bodies = [call["body"] for call in house.provider.calls() if call["body"] is not None]
    return [body for body in bodies if TITLE not in json.dumps(body)]


def test_an_agent_runs_a_tool_for_a_specialist_and_is_named_as_the_caller(
    customer: Agent, house: House
) -> None:
    made = house.work / "made"
    house.provider.script(
        Script(tool_calls=(customer.command(f"echo yes > {made}", "1"),)),
        default=Script(chunks=("All ", "done")),
    )
    with house.speaking(customer.name, "make it") as turn:
        asked = turn.until("permission.asked")["data"]
        assert house.aish("approve", asked["request_id"]).code == 0
        assert (turn.end(), turn.answer) == ("turn.completed", "All done")
    assert made.read_text() == "yes\n"
    first, second = calls_of(house)[-2:]
    assert "make it" in json.dumps(first) and first["tools"]
    text = json.dumps(first)
    assert text.index("You are Apollo") < text.index("make it")  # the specialist's own role comes first
    assert any(message["role"] == "tool" for message in second["messages"])
    accepted = [event for event in house.exported() if event["type"] == "message.accepted"]
    theirs = [event for event in accepted if event["data"].get("api")]
    assert {(e["data"]["from"], tuple(e["data"]["via"])) for e in theirs} == {
        (f"agent:{customer.name}", (customer.name,))
    }
    assert len({event["session_id"] for event in theirs if TITLE not in event["data"]["content"]}) == 1


def test_an_agent_whose_model_is_a_peer_is_stopped_at_the_hop_limit(customer: Agent, house: House) -> None:
    house.configure({customer.name: dict(customer.settings)}, limits={"hops": 1})
    house.say("shutdown")
    point_to_hub(customer, house)
    with house.speaking(customer.name, "make it") as turn:
        turn.end()
    assert "the message would pass through 2 peers; the limit is 1" in json.dumps(turn.events)
    assert calls_of(house) == []


def test_a_cycle_of_models_that_passes_an_agents_tools_on_ends_at_the_hop_limit(
    customer: Agent, house: House
) -> None:
    """The specialist's provider is the same hub under another name, where the model is the specialist."""
    # the port must be known before the hub that listens on it; the default one may be that of another test
    house.say("shutdown")
    house.environment["RHETOR_HUB__PORT"] = "0"
    house.say("list")
    port = urlsplit(json.loads(house.say("status", "--json").out)["url"]).port
    house.environment["RHETOR_HUB__PORT"] = str(port)
    house.configure({customer.name: dict(customer.settings)}, limits={"hops": 4})
    house.environment |= {
        "OPENAI_BASE_URL": f"http://localhost:{port}/v1",
        "OPENAI_API_KEY": (house.state / "token").read_text().strip(),
        "RHETOR_MODELS__DEFAULT": "openai/apollo",
    }
    house.say("shutdown")
    point_to_hub(customer, house)
    with house.speaking(customer.name, "make it") as turn:
        turn.end()
    said = json.dumps(turn.events)
    assert "the message would pass through 5 peers; the limit is 4" in said, said
    assert "not a specialist" not in said  # as if the tools had ended it
    events = [event for event in house.exported() if event["type"] == "message.accepted"]
    depths = Counter(len(event["data"]["via"]) for event in events if event["data"].get("api"))
    assert set(depths) == {1, 2, 3}  # the fourth call would pass through a fifth peer
    assert len(set(depths.values())) == 1, depths  # each call of the agent cost its hops, and no more
    assert calls_of(house) == []


def test_an_agent_answers_as_the_model_of_a_client_and_still_asks_a_person(
    agent: Agent, house: House
) -> None:
    house.say("list")
    house.provider.script(default=Script(chunks=("Two ", "levels")))
    question = {"role": "user", "content": "Design a cache"}
    answer = house.post("/v1/chat/completions", {"model": agent.name, "messages": [question]})
    message = answer["choices"][0]["message"]
    assert (message["content"], answer["model"]) == ("Two levels", agent.name)
    again = house.post(
        "/v1/chat/completions", {"model": agent.name, "messages": [question, message, question]}
    )
    assert again["choices"][0]["finish_reason"] == "stop"
    accepted = [event for event in house.exported() if event["type"] == "message.accepted"]
    assert len({event["session_id"] for event in accepted}) == 1
    if not agent.asks_first:
        return
    house.provider.script(Script(tool_calls=(agent.command(f"echo yes > {house.work}/made", "1"),)))
    with ThreadPoolExecutor() as threads:
        body = {"model": agent.name, "messages": [{"role": "user", "content": "make it"}]}
        made = threads.submit(house.post, "/v1/chat/completions", body)
        while not (waiting := house.open_requests()):
            assert not made.done(), made.result()
        assert house.aish("approve", waiting[0]["request_id"]).code == 0
        assert made.result()["choices"][0]["message"]["content"] == "Two levels"
    assert (house.work / "made").read_text() == "yes\n"
