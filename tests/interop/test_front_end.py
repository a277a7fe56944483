"""The page of `examples/` shows sessions with real Claude Code, real Codex and a specialist alike."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.clients.browser import browsing
from tests.clients.front_end import FrontEnd, page_served
from tests.clients.having import BROWSERS
from tests.interop.agents import Agent, named
from tests.interop.conftest import WANTED, check_installed
from tests.interop.home import House
from tests.needs import needs
from tests.provider.process import ProviderProcess
from tests.provider.script import Script, ToolCall

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
AGENTS = ("claude-code", "codex")
SECONDS = 120.0
QUESTION = "How much is it?"


@asynccontextmanager
async def shown(provider: ProviderProcess, agents: tuple[Agent, ...]) -> AsyncIterator[FrontEnd]:
    """The page in a browser, connected to a hub with these agents, and with `apollo`, whose model is the
    provider and who has tools of an MCP server."""
    chromium = needs(*BROWSERS)
    with tempfile.TemporaryDirectory(prefix="ai", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for made in ("site", "browser"):
            (folder / made).mkdir()
        house = House(folder, provider, agents)
        try:
            async with (
                page_served(folder / "site") as origin,
                browsing(chromium, folder / "browser") as page,
            ):
                _configure(house, agents, origin)
                await asyncio.to_thread(house.say, "list")  # starts the hub
                status = json.loads((await asyncio.to_thread(house.say, "status", "--json")).out)
                front_end = FrontEnd(page, origin)
                await front_end.connect(status["url"], (house.state / "token").read_text().strip())
                yield front_end
        finally:
            left = await asyncio.to_thread(house.close)
        assert left == []


def _configure(house: House, agents: tuple[Agent, ...], origin: str) -> None:
    stub = {"kind": "openai", "base_url": f"{house.provider.url}/v1", "api_key_env": "STUB_KEY"}
    server = [sys.executable, "-m", "tests.plain_tool_server"]
    house.configure(
        {agent.name: agent.settings for agent in agents if agent.settings},
        hub={"port": 0, "allowed_origins": [origin]},
        providers={"stub": stub},
        mcp_servers={"sums": {"command": server, "env": {"PYTHONPATH": str(ROOT)}, "approve": "all"}},
        specialists={"apollo": {"model": "stub/test-model", "mcp_servers": ["sums"]}},
    )


def _calls(agents: tuple[Agent, ...]) -> dict[str, ToolCall]:
    """Return a tool call of each peer, which needs permission, and whose result contains 42."""
    calls = {agent.name: agent.command("touch made && echo $((40 + 2))", "1") for agent in agents}
    return {**calls, "apollo": ToolCall("sums__add", json.dumps({"a": 40, "b": 2}), id="call_1")}


async def test_sessions_of_claude_code_codex_and_a_specialist_look_alike() -> None:
    if not set(AGENTS) <= set(WANTED):
        pytest.skip("RHETOR_TEST_AGENTS does not name claude-code and codex")
    agents = tuple(map(named, AGENTS))
    for agent in agents:
        check_installed(agent)
    with ProviderProcess("--port", "0") as provider:
        async with shown(provider, agents) as front_end, asyncio.timeout(SECONDS):
            sessions = [await _talk(front_end, provider, *each) for each in _calls(agents).items()]
            seen = [await front_end.transcript_of(session) for session in sessions]
    for everything in seen:
        rows = [row for row in everything if row[0] != "note"]  # warnings of codex
        assert [kind for kind, _ in rows] == ["message", "answer", "tool", "answer", "end"]
        message, before, call, after, end = (text for _, text in rows)
        assert (message, before, after, end[:4]) == (QUESTION, "I count.", "It is 42.", "done")
        name, status, shown_input, result = json.loads(call)
        assert (bool(name), status) == (True, "done")
        assert "40" in json.dumps(shown_input)
        assert "42" in json.dumps(result)


async def _talk(front_end: FrontEnd, provider: ProviderProcess, peer: str, call: ToolCall) -> str:
    """Send a message, and allow what the peer asks for; return the session."""
    provider.script(Script(chunks=("I ", "count."), tool_calls=(call,)), Script(chunks=("It is ", "42.")))
    session = await front_end.create(peer)
    await front_end.send(QUESTION)
    asked: dict[str, Any] = await front_end.request()
    assert "40" in asked["text"]
    await front_end.press(asked["buttons"][0])
    await front_end.answered()
    return session
