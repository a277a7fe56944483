"""Tools of MCP servers that are real programs, in turns through the real routes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.permission import Rules
from rhetor.drivers.model_tools.mcp_reach import ServerEntry
from rhetor.drivers.model_tools.mcp_server import Limits
from tests.provider import Script, ToolCall
from tests.rhetor.drivers.talk import anthropic_at, openai_at
from tests.rhetor.transports.rest.test_requests import RAINS, results_of
from tests.tooled import WEATHER, At, tooled

pytestmark = pytest.mark.anyio
WITH_SDK = ServerEntry((sys.executable, "-m", "tests.tool_server"), env={"OWN": "1"})
SMALL = replace(WITH_SDK, command=(sys.executable, "-m", "tests.plain_tool_server"))


def calls(*wanted: tuple[str, Any]) -> Script:
    return Script(
        tool_calls=tuple(
            ToolCall(name, json.dumps(arguments), f"call_{n}") for n, (name, arguments) in enumerate(wanted)
        )
    )


@pytest.mark.long
@pytest.mark.parametrize(("at", "server"), [(openai_at, WITH_SDK), (anthropic_at, SMALL)])
async def test_tools_of_a_server_run_at_the_hub(tmp_path: Path, at: At, server: ServerEntry) -> None:
    async with tooled(tmp_path, at=at, entries={"small": server}) as house:
        wanted = calls(("small__add", {"a": 1, "b": 2}), ("small__environment", {}), ("small__fail", {}))
        house.provider.script(wanted, RAINS)
        await house.open()
        assert (await house.say()).json["response"] == "It rains."
        names = [tool.get("name") or tool["function"]["name"] for tool in house.provider.requests[0]["tools"]]
        assert {"small__add", "small__environment"} <= set(names)
        events = await house.events("turn.completed")
        called = [e["data"] for e in events if e["type"] == "tool.called"]
        assert [(c["name"], c["runs_at"]) for c in called] == [
            ("small__add", "hub"),
            ("small__environment", "hub"),
            ("small__fail", "hub"),
        ]
        returned = {e["data"]["call_id"]: e["data"] for e in events if e["type"] == "tool.returned"}
        added, seen, failed = (returned[c["call_id"]] for c in called)
        assert (added["result"], added["is_error"]) == ({"result": 3}, False)
        assert seen["result"] == {"result": ["LANG", "OWN", "PATH", "RHETOR_TOKEN"]}
        assert failed["is_error"]
        told = dict(results_of(house.provider.requests[1]))
        assert json.loads(told["call_0"]) == {"result": 3}


async def test_tools_of_the_client_and_of_a_server_work_together(tmp_path: Path) -> None:
    async with tooled(tmp_path, entries={"small": SMALL}) as house:
        wanted = calls(("weather", {"place": 1}), ("small__add", {"a": 1, "b": 2}))
        house.provider.script(wanted, RAINS)
        await house.open(WEATHER)
        turn = house.say()
        asked = await house.asked("tool.called", 2)
        mine = next(call for call in asked if call["runs_at"] == "client")
        await house.asked("tool.returned")
        await house.give(mine["call_id"], "wet")
        assert (await turn).status == 200
        assert results_of(house.provider.requests[1])[0] == ("call_0", "wet")


@pytest.mark.parametrize("approve", ["all", ("add",)])
async def test_a_tool_that_needs_approval_runs_once_it_is_allowed(tmp_path: Path, approve: Any) -> None:
    async with tooled(tmp_path, entries={"small": replace(SMALL, approve=approve)}) as house:
        house.provider.script(calls(("small__add", {"a": 1, "b": 2})), RAINS)
        await house.open()
        turn = house.say()
        [request] = await house.asked("permission.asked")
        assert (request["tool"], request["detail"]["runs_at"]) == ("small__add", "hub")
        assert await house.state() == "waiting"
        await house.choose(request["request_id"], "allow")
        [returned] = await house.asked("tool.returned")
        assert returned["result"] == {"result": 3}
        assert (await turn).status == 200


@pytest.mark.parametrize(
    ("rules", "option", "result"),
    [
        (Rules(allow=("small__*",)), "allow", "result"),
        (
            Rules(allow=("*",), deny=("small__add",)),
            "deny",
            "nobody allowed this call",
        ),
    ],
)
async def test_a_tool_of_a_server_is_allowed_or_denied_by_the_users_rules(
    tmp_path: Path, rules: Rules, option: str, result: str
) -> None:
    entries, long = {"small": replace(SMALL, approve="all")}, Limits(60, 60)
    async with tooled(tmp_path, entries=entries, rules=rules, tool_limits=long, seconds=120) as house:
        house.provider.script(calls(("small__add", {"a": 1, "b": 2})), RAINS)
        await house.open()
        assert (await house.say()).status == 200
        [answered] = await house.asked("permission.answered")
        assert (answered["option_id"], answered["by"]) == (option, "policy")
        assert result in json.dumps(house.provider.calls[-1].body)


async def test_a_step_of_a_plan_requests_permission_in_the_plans_stream(tmp_path: Path) -> None:
    async with tooled(tmp_path, entries={"small": replace(SMALL, approve="all")}) as house:
        house.provider.script(calls(("small__add", {"a": 1, "b": 2})), RAINS)
        body = {"steps": [{"id": "one", "ai": "nestor", "message": "hi"}]}
        events: list[dict[str, Any]] = []
        async with house.home.local.post("http://localhost/api/v2/plans", json=body) as stream:
            async for line in stream.content:
                if not line.startswith(b"data: "):
                    continue
                events.append(json.loads(line[6:]))
                if events[-1]["type"] == "permission.asked":
                    [request] = (await house.ask("GET", "/permissions")).json["permissions"]
                    plan_id = stream.headers["x-plan-id"]
                    assert request["session_id"] == plan_id
                    answer = await house.choose(request["request_id"], "allow", stream=plan_id)
                    assert answer.status == 200
        answered = next(e for e in events if e["type"] == "permission.answered")
        assert (answered["step"], answered["data"]["option_id"]) == ("one", "allow")
        assert events[-1]["data"] == {"status": "completed"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (ServerEntry(("no-such-program-here",)), "no program"),
        (ServerEntry((sys.executable, "-c", "raise SystemExit('no licence found')")), "no licence found"),
        (ServerEntry((sys.executable, "-c", "import time; time.sleep(600)")), "did not answer within 1 s"),
        (ServerEntry(url="http://127.0.0.1:9/mcp"), "does not allow"),
        (ServerEntry(url="http://169.254.169.254/mcp", allow_private=True), "does not allow"),
    ],
)
async def test_an_unusable_server_fails_the_turn_with_a_hint(
    tmp_path: Path, entry: ServerEntry, words: str
) -> None:
    tool_limits = Limits(1, 1) if "1 s" in words else Limits(60, 60)
    async with tooled(tmp_path, entries={"small": entry}, tool_limits=tool_limits) as house:
        await house.open()
        answer = await house.say()
        assert (answer.status, answer.json["code"]) == (502, "tool_server_failed")
        assert words in answer.json["detail"]
        assert answer.json["server"] == "small"
        assert "mcp_servers.small" in answer.json["hint"]
        assert house.provider.requests == []


async def test_unexpected_messages_of_a_server_are_ignored(tmp_path: Path) -> None:
    noisy = replace(SMALL, command=(*SMALL.command, "noisy"))
    async with tooled(tmp_path, entries={"small": noisy}) as house:
        assert (await house.servers.call("small", "c", "add", {"a": 1, "b": 2})).result == {"result": 3}


async def test_failed_calls_give_error_results_and_a_dead_server_is_restarted(tmp_path: Path) -> None:
    async with tooled(tmp_path, entries={"small": SMALL}, tool_limits=Limits(60, 3)) as house:
        codes = []
        for tool, arguments in (("wait", {"seconds": 30}), ("flood", {}), ("die", {})):
            result = await house.servers.call("small", "c", tool, arguments)
            assert result.is_error
            codes.append(result.result["code"])
        assert codes == ["timeout", "too_large", "tool_failed"]
        assert (await house.servers.call("small", "c", "add", {"a": 1, "b": 2})).result == {"result": 3}


async def test_stopping_the_hub_ends_servers_and_their_children(tmp_path: Path) -> None:
    async with tooled(tmp_path, entries={"small": SMALL}) as house:
        child = (await house.servers.call("small", "c", "leave_child", {})).result["result"]
        handle, ended = os.pidfd_open(child), asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        await house.servers.aclose()
        await asyncio.wait_for(ended.wait(), 20)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
        assert "the hub is stopping" in str((await house.servers.call("small", "c", "add", {})).result)


# a server made with the SDK, whose tools write to the file `path` how far they are
HOLDING = """
import asyncio, os, pathlib, sys, time
from mcp.server import MCPServer
server = MCPServer("holding")
def note(path, what):
    with open(path, "a") as file:
        file.write(f"{what} {os.getpid()}\\n")
@server.tool()
async def hold(path: str) -> str:
    note(path, "started")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        note(path, "cancelled")
        raise
    return "never"
@server.tool()
async def block(path: str) -> str:
    note(path, "started")
    time.sleep(600)
    return "never"
@server.tool()
async def add(a: int, b: int) -> int:
    return a + b
server.run("stdio")
"""


@pytest.mark.long
@pytest.mark.parametrize(("tool", "ends"), [("hold", False), ("block", True)])
async def test_an_interrupt_cancels_the_call_of_a_tool_and_the_next_turn_works(
    tmp_path: Path, tool: str, ends: bool
) -> None:
    progress = tmp_path / "progress"
    os.mkfifo(progress)
    entry = replace(WITH_SDK, command=(sys.executable, "-c", HOLDING))
    async with tooled(tmp_path, entries={"small": entry}, tool_limits=Limits(60, 60, 0.5)) as house:
        house.provider.script(calls((f"small__{tool}", {"path": str(progress)})))
        await house.open()
        turn = house.say()
        started = (await asyncio.to_thread(progress.read_text)).split()
        assert started[0] == "started"
        answer = await house.ask("POST", f"/sessions/{house.session_id}/interrupt")
        assert answer.status == 200
        assert (await turn).json["code"] == "interrupted"
        if not ends:
            assert await asyncio.to_thread(progress.read_text) == f"cancelled {started[1]}\n"
        house.provider.script(calls(("small__add", {"a": 1, "b": 2})), RAINS)
        assert (await house.say("again")).json["response"] == "It rains."
        events = await house.events("turn.completed")
        returned = [event["data"] for event in events if event["type"] == "tool.returned"]
        assert [(each["is_error"], each["result"].get("code")) for each in returned] == [
            (True, "cancelled"),
            (False, None),
        ]
        assert returned[1]["result"] == {"result": 3}
        called = [event["data"]["call_id"] for event in events if event["type"] == "tool.called"]
        assert called == [each["call_id"] for each in returned]


async def test_a_result_that_comes_after_its_turn_is_dropped(tmp_path: Path) -> None:
    async with tooled(tmp_path, entries={"small": SMALL}, tool_limits=Limits(60, 60)) as house:
        house.provider.script(calls(("small__wait", {"seconds": 0.2})))
        await house.open()
        turn = house.say()
        await house.asked("tool.called")
        await house.ask("POST", f"/sessions/{house.session_id}/interrupt")
        assert (await turn).json["code"] == "interrupted"
        house.provider.script(calls(("small__wait", {"seconds": 0.6})), RAINS)
        assert (await house.say("again")).status == 200
        events = await house.events("turn.completed")
        returned = [event["data"] for event in events if event["type"] == "tool.returned"]
        assert [each["result"].get("code") or each["result"]["result"] for each in returned] == [
            "cancelled",
            "done",
        ]


async def test_an_interrupted_turn_leaves_its_server_running(tmp_path: Path) -> None:
    async with tooled(tmp_path, entries={"small": SMALL}, tool_limits=Limits(60, 60)) as house:
        house.provider.script(calls(("small__wait", {"seconds": 0.3})), RAINS)
        await house.open()
        turn = house.say()
        await house.asked("tool.called")
        await house.ask("POST", f"/sessions/{house.session_id}/interrupt")
        assert (await turn).json["code"] == "interrupted"
        assert (await house.servers.call("small", "c", "add", {"a": 1, "b": 2})).result == {"result": 3}
