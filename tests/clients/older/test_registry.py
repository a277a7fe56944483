"""A client that looks up what peers and tools can do, by the names of the older tool entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.scripted import peer
from tests.served import Served, served, with_programs

from rhetor.coding_agents import CODING_AGENTS
from rhetor.domain.peer import Capability
from rhetor.settings import Settings, ToolSettings, peers_of

pytestmark = pytest.mark.anyio
# the older entries of the tools, and what their clients test for
ENTRIES = {
    "claude-code": (
        "code_analysis",
        "code_generation",
        "refactoring",
        "multi_file",
        "project_context",
        "debugging",
        "testing",
    ),
    "cursor": ("code_editing", "ai_completion", "chat_interface", "terminal_integration", "file_management"),
    "continue": ("code_assistance", "context_aware", "multi_model", "custom_models", "embeddings"),
}
COUNTS = "import sys\nfor line in sys.stdin: print(len(line), flush=True)"
MEASURED = ("avg_response_time", "success_rate")


async def test_the_older_names_of_capabilities_stand_beside_ours() -> None:
    tools = {name: msgspec.convert(CODING_AGENTS[name], ToolSettings) for name in ENTRIES}
    peers = [tool for tool in peers_of(Settings()) if tool.name in ENTRIES]
    async with with_programs(tools=tools, also=peers) as home:
        for tool, names in ENTRIES.items():
            found = (await home.ask("GET", f"/api/v2/ai/{tool}")).json["capabilities"]
            assert [name for name in names if not found.get(name)] == []
            assert found["coding"] > 0.5
        assert [each["ai_id"] for each in await _able(home, "multi_file")] == ["claude-code"]
        assert [each["ai_id"] for each in await _able(home, "ai_completion")] == ["cursor"]


async def test_a_peer_has_its_statistics_among_its_capabilities_and_an_address(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.say("apollo", "hi")
        apollo = (await home.ask("GET", "/api/v2/ai/apollo")).json
        found = apollo["capabilities"]
        assert {"context_window", "max_tokens", "cost_per_1k_tokens"} <= found.keys()
        assert [isinstance(found[name], float) for name in MEASURED] == [True, True]
        assert [found[name] for name in MEASURED] == [apollo[name] for name in MEASURED]
        assert (apollo["host"], apollo["port"]) == ("127.0.0.1", home.port)
        assert isinstance(apollo["sessions"], int)


async def test_a_wrapped_tool_is_shown_like_a_configured_one() -> None:
    configured = ToolSettings(driver="stdio", executable=PYTHON[0], args=(*PYTHON[1:], COUNTS))
    async with with_programs(tools={"fixed": configured}) as home:
        await home.announce("wrapped", *PYTHON, COUNTS)
        for tool in ("fixed", "wrapped"):
            assert (await home.say(tool, "four")).json["response"].strip() == "5"
        both = {tool["name"]: tool for tool in (await home.ask("GET", "/api/v2/tools")).json["tools"]}
        assert _kinds(both["wrapped"]) == _kinds(both["fixed"])
        assert [len(tool["sessions"]) for tool in both.values()] == [1, 1]
        for path in ("", "/capabilities"):
            shown = [(await home.ask("GET", f"/api/v2/tools/{name}{path}")).json for name in both]
            assert _kinds(shown[0]) == _kinds(shown[1])
        states = [(tool["status"], tool["installed"], tool["driver"]) for tool in both.values()]
        assert states == [("idle", True, "stdio")] * 2


def _kinds(shown: dict[str, Any]) -> dict[str, str]:
    """Return the members and their types, apart from what only an installed program has."""
    known = {name: type(value).__name__ for name, value in shown.items() if name not in ("path", "health")}
    return {**known, "health": ",".join(shown.get("health") or ())}


async def _able(home: Served, capability: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await home.ask("GET", f"/api/v2/capabilities/{capability}{query}")).json
    return found


async def test_the_default_threshold_is_lower_for_a_message_than_for_a_list(tmp_path: Path) -> None:
    hermes = peer("hermes", Capability("design", 0.6))
    async with served(tmp_path, also=[hermes]) as home:
        assert await _able(home, "design") == []
        assert [each["ai_id"] for each in await _able(home, "design", "?threshold=0.5")] == ["hermes"]
        assert (await home.say("@design", "hi")).json["ai"] == "hermes"
        assert (await home.say("@cooking", "hi")).status == 404
