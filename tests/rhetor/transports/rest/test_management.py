"""`/api/sessions`, the page at `/`, and the MCP servers of `/api/mcp-servers`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.drivers.model_tools.mcp_reach import ServerEntry
from rhetor.hub.core.limits import Limits
from rhetor.settings import Settings, peers_of
from rhetor.store.memory import MemoryStore
from tests.rhetor.transports.rest.test_requests import RAINS, results_of
from tests.rhetor.transports.rest.test_tool_servers import calls
from tests.served import Served, served, with_programs
from tests.tooled import NESTOR, tooled

pytestmark = pytest.mark.anyio
SMALL = [sys.executable, "-m", "tests.plain_tool_server"]


async def created(home: Served, **body: Any) -> Any:
    answer = await home.ask("POST", "/api/sessions/create", body)
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_front_end_opens_a_session_with_its_first_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home, specialist_id="apollo", name="front", prompt="hi", model="openai/gpt-x")
        assert (made["specialist_id"], made["name"], made["state"]) == ("apollo", "front", "active")
        await home.seen(made["id"], lambda payload: payload.type == "turn.completed")
        shown = (await home.ask("GET", "/api/sessions/front")).json
        assert [said["content"] for said in shown["messages"]] == ["hi", "apollo heard: hi"]
        other = await created(home, specialist_id="athena")
        active = (await home.ask("GET", "/api/sessions/active")).json["sessions"]
        assert {session["id"] for session in active} == {made["id"], other["id"]}
        kept = (await home.ask("POST", "/api/sessions/front/checkpoint", {"name": "here"})).json
        assert (kept["name"], kept["parent"]) == ("here", f"{made['id']}@{kept['cursor']}")
        assert (await home.ask("DELETE", f"/api/sessions/{other['id']}")).json["state"] == "stopped"
        active = (await home.ask("GET", "/api/sessions/active")).json["sessions"]
        assert [session["id"] for session in active] == [made["id"]]


async def test_a_session_that_cannot_begin_is_not_opened(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for body, code in (
            ({"specialist_id": "nobody"}, "unknown_peer"),
            ({"specialist_id": "apollo", "prompt": " "}, "malformed"),
            ({"specialist_id": "apollo", "model": "nobody/m"}, "unknown_model"),
        ):
            answer = await home.ask("POST", "/api/sessions/create", body)
            assert answer.json["code"] == code
        assert (await home.ask("GET", "/api/sessions/active")).json["sessions"] == []


async def test_a_repeated_request_opens_one_session_and_sends_one_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body, key = {"specialist_id": "apollo", "prompt": "once"}, {"idempotency-key": "k"}
        first = await home.ask("POST", "/api/sessions/create", body, headers=key)
        again = await home.ask("POST", "/api/sessions/create", body, headers=key)
        assert first.json["id"] == again.json["id"]
        await home.seen(first.json["id"], lambda payload: payload.type == "turn.completed")
        assert home.driver.heard == [("apollo", "once")]


async def test_claude_code_is_the_default_and_chooses_its_own_model() -> None:
    [claude] = [peer for peer in peers_of(Settings()) if peer.name == "claude-code"]
    async with with_programs(also=[claude]) as home:
        assert (await created(home))["specialist_id"] == "claude-code"
        refused = await home.ask("POST", "/api/sessions/create", {"model": "opus"})
        assert (refused.status, refused.json["code"]) == (422, "unprocessable")
        assert refused.json["detail"].startswith("body.model:")


async def test_an_added_server_is_tested_used_and_removed(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with tooled(tmp_path, entries={"fixed": ServerEntry(("x",))}, store=store) as house:
        home, servers = house.home, house.servers
        home.hub.state.tool_servers = servers
        body = {"name": "small", "command": SMALL, "env": {"SMALL_KEY": "sesame-open-12"}, "approve": "all"}
        added = await home.ask("POST", "/api/mcp-servers", body)
        assert added.json == {
            "name": "small",
            "transport": "stdio",
            "command": SMALL,
            "url": None,
            "env": {"SMALL_KEY": "(masked)"},
            "allow_private": False,
            "approve": "all",
            "source": "api",
        }
        assert (await home.ask("POST", "/api/mcp-servers", body)).json["code"] == "name_taken"
        listed = (await home.ask("GET", "/api/mcp-servers")).json["mcp_servers"]
        assert [(s["name"], s["source"]) for s in listed] == [("fixed", "configuration"), ("small", "api")]
        tested = (await home.ask("POST", "/api/mcp-servers/small/test")).json
        assert (tested["ok"], "add" in tested["tools"]) == (True, True)
        assert [tool.name for tool in await servers.tools("small")] == tested["tools"]
        broken = (await home.ask("POST", "/api/mcp-servers/fixed/test")).json
        assert (broken["ok"], broken["tools"]) == (False, [])
        assert "fixed" in broken["error"]
        refused = await home.ask("DELETE", "/api/mcp-servers/fixed")
        assert (refused.status, refused.json["code"]) == (409, "tool_server_configured")
        assert (await home.ask("DELETE", "/api/mcp-servers/small")).status == 200
        assert (await home.ask("POST", "/api/mcp-servers/small/test")).status == 404
        await home.ask("POST", "/api/mcp-servers", {"name": "web", "url": "https://mcp.example/mcp"})
    async with served(tmp_path, store=store) as home:  # it is still there after a restart
        listed = (await home.ask("GET", "/api/mcp-servers")).json["mcp_servers"]
        assert [(s["name"], s["transport"]) for s in listed] == [("web", "http")]


async def test_a_server_is_used_at_once_by_the_specialists_and_projects_that_name_it(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    async with tooled(tmp_path, limits=Limits(project_roots=(str(tmp_path),))) as house:
        home = house.home
        home.hub.state.tool_servers = house.servers
        home.hub.state.peers.put(replace(NESTOR, name="mentor", mcp_servers=("small",)))
        await house.open(peer="mentor")
        early = await house.say()
        assert (early.status, early.json["code"]) == (502, "tool_server_failed")
        await home.ask("POST", "/api/mcp-servers", {"name": "small", "command": SMALL})
        settings = {"default_peer": "nestor", "mcp_servers": ["small"]}
        project = {"name": "site", "path": str(tmp_path / "site"), "settings": settings}
        assert (await home.ask("POST", "/api/projects", project)).status == 200
        adds = calls(("small__add", {"a": 1, "b": 2}))
        house.provider.script(adds, RAINS, adds, RAINS)
        assert (await house.say()).json["response"] == "It rains."
        house.session_id = (await created(home, project_id="site"))["id"]
        assert (await house.say()).json["response"] == "It rains."
        for asked, answered in (house.provider.requests[:2], house.provider.requests[2:]):
            assert "small__add" in [tool["function"]["name"] for tool in asked["tools"]]
            assert dict(results_of(answered)) == {"call_0": '{"result":3}'}


@pytest.mark.parametrize(
    ("server", "shown", "error"),
    [
        ({"command": ["false"]}, ["false"], "it exited with 1"),
        ({"command": ["sh", "-c", "kill -9 $$"]}, ["sh", "-c", "kill -9 $$"], "signal 9 ended it"),
        (
            {"command": ["sh", "-c", "echo $1 >&2", "--token", "sesame-open-12", "-v"]},
            ["sh", "-c", "echo $1 >&2", "--token", "(masked)", "-v"],
            "it wrote: [masked]",
        ),
        (
            {"url": "http://127.0.0.1:9/mcp?n=1&api_key=k&b=2"},
            "http://127.0.0.1:9/mcp?n=1&api_key=(masked)&b=2",
            "which the configuration does not allow",
        ),
    ],
)
async def test_a_server_that_does_not_work_is_tested_without_showing_its_secrets(
    tmp_path: Path, server: dict[str, Any], shown: object, error: str
) -> None:
    async with tooled(tmp_path) as house:
        home = house.home
        home.hub.state.tool_servers = house.servers
        added = (await home.ask("POST", "/api/mcp-servers", {"name": "odd", **server})).json
        assert shown in (added["command"], added["url"])
        tested = (await home.ask("POST", "/api/mcp-servers/odd/test")).json
        assert (tested["ok"], tested["tools"]) == (False, [])
        assert error in tested["error"] and "sesame" not in tested["error"]
        assert tested["hint"].startswith("to change it, remove it (aish mcp remove odd) and add it again")
        assert ("--private" in tested["hint"]) == ("url" in server)


async def test_the_test_of_a_server_that_does_not_answer_ends_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rhetor.drivers.model_tools.servers.TEST_SECONDS", 0.5)
    async with tooled(tmp_path) as house:
        home = house.home
        home.hub.state.tool_servers = house.servers
        await home.ask("POST", "/api/mcp-servers", {"name": "silent", "command": ["sleep", "600"]})
        tested = (await home.ask("POST", "/api/mcp-servers/silent/test")).json
        assert tested["error"] == "the MCP server silent cannot be used: it did not answer within 0.5 s"
        assert 0.5 <= tested["seconds"] < 10


async def test_a_server_that_makes_no_sense_is_not_added(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for body, status in (
            ({"name": "a"}, 422),
            ({"name": "a", "command": ["x"], "url": "https://x/mcp"}, 422),
            ({"name": "a", "url": "file:///etc/passwd"}, 422),
            ({"name": "a", "url": "https://user:password@x/mcp"}, 422),
            ({"name": "a", "command": ["x\x00y"]}, 422),
            ({"name": "a", "command": ["x"], "env": {"A=B": "c"}}, 422),
            ({"name": "a", "command": ["x"], "env": {"": "c"}}, 422),
            ({"name": "a b", "command": ["x"]}, 400),
        ):
            assert (await home.ask("POST", "/api/mcp-servers", body)).status == status, body
        assert (await home.ask("GET", "/api/mcp-servers")).json == {"mcp_servers": []}
