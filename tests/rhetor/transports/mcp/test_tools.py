"""The tools of MCP, called by the SDK's client in both revisions, over HTTP and over `rhetor mcp`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import pytest

from rhetor.domain.output import Done, Text
from rhetor.domain.quota import reset_time
from rhetor.errors import ProviderFailed, RateLimited
from rhetor.transports.mcp import arguments, tools
from rhetor.transports.mcp.caller import McpCaller, Outcome
from rhetor.transports.server.node import NoConfiguration
from tests.rhetor.transports.mcp.clients import WAYS, Way, connected, text_of
from tests.served import served

if TYPE_CHECKING:
    from mcp import Client

pytestmark = pytest.mark.anyio
NAMES = {
    "list_peers", "ask_peer", "send_message", "run_line", "create_session", "list_sessions", "cancel_session",
    "read_events", "find_capability", "assign_task", "team_chat", "list_agents", "find_claude_binary",
}  # fmt: skip
each_way = pytest.mark.parametrize("way", WAYS, ids="-".join)
one_way = WAYS[1]


async def asked(client: Client, tool: str, **given: Any) -> Any:
    """The result of a call that does not fail."""
    result = await client.call_tool(tool, given)
    assert not result.is_error, text_of(result)
    return result.structured_content


async def refused(client: Client, tool: str, **given: Any) -> tuple[str, Any]:
    """The text and the data of the error."""
    result = await client.call_tool(tool, given)
    assert result.is_error
    return text_of(result), result.structured_content


@each_way
async def test_a_client_finds_the_tools_and_asks_a_peer(tmp_path: Path, way: Way) -> None:
    async with served(tmp_path) as home, connected(home, way) as client:
        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == NAMES
        (ask,) = (tool for tool in listed if tool.name == "ask_peer")
        assert ask.input_schema["required"] == ["peer", "message"]
        assert ask.input_schema["properties"].keys() == {"peer", "message", "session_id", "timeout"}
        result = await client.call_tool("ask_peer", {"peer": "apollo", "message": "hi"})
        assert text_of(result) == "apollo heard: hi"
        data = result.structured_content
        assert (data["response"], data["ai"], data["finish_reason"]) == ("apollo heard: hi", "apollo", "stop")
        peers = await asked(client, "list_peers")
        assert {"apollo", "athena", "prometheus", "team:reviewers"} <= {peer["id"] for peer in peers["peers"]}


@each_way
async def test_an_answer_is_reported_while_it_grows(tmp_path: Path, way: Way) -> None:
    goes_on = asyncio.Event()
    told: list[tuple[float, str]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message or ""))
        if "one" in (message or ""):
            goes_on.set()

    async with served(tmp_path, [Text("one "), goes_on, Text("two"), Done()]) as home:
        async with connected(home, way) as client:
            given = {"peer": "apollo", "message": "count"}
            result = await client.call_tool("ask_peer", given, progress_callback=progress)
        assert text_of(result) == "one two"
    assert "".join(text for _, text in told).startswith("apollo is working\none ")
    assert [count for count, _ in told] == sorted({count for count, _ in told})


async def test_a_client_is_told_why_its_call_is_paused_and_which_request_continues_it(tmp_path: Path) -> None:
    told: list[str] = []
    is_paused = asyncio.Event()

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")
        if "is paused" in (message or ""):
            is_paused.set()

    limit = RateLimited("no more today", retryable=True, resets_at=reset_time(time() + 3600))
    scripts: list[Any] = [[limit], [Text("at last"), Done()]]
    async with served(tmp_path, *scripts) as home, connected(home, WAYS[0]) as client:
        given = {"peer": "apollo", "message": "hi"}
        call = asyncio.create_task(client.call_tool("ask_peer", given, progress_callback=progress))
        await is_paused.wait()
        [request] = (await home.ask("GET", "/api/v2/permissions")).json["permissions"]
        path = f"/api/v2/sessions/{request['session_id']}/permissions/{request['request_id']}"
        assert (await home.ask("POST", path, {"option_id": "now"})).status == 200
        assert text_of(await call) == "at last"
    text = "".join(told)
    assert "no more today" in text and request["request_id"] in text


@each_way
async def test_a_call_that_is_cancelled_ends_its_turn(tmp_path: Path, way: Way) -> None:
    async with served(tmp_path, [Text("a"), asyncio.Event(), Done()]) as home:
        async with connected(home, way) as client:
            session = (await asked(client, "create_session", peer="apollo"))["id"]
            given = {"peer": "apollo", "message": "hi", "session_id": session}
            call = asyncio.create_task(client.call_tool("ask_peer", given))
            await home.seen(session, lambda payload: payload.type == "output.delta")
            call.cancel()
            ended = await home.seen(session, lambda payload: payload.type == "turn.interrupted")
            assert ended[-1].type == "turn.interrupted"
            assert (await asked(client, "ask_peer", **given))["response"] == "apollo heard: hi"
        assert home.driver.ended_early == 1


@each_way
async def test_errors_are_results_with_words_and_a_code(tmp_path: Path, way: Way) -> None:
    failing = [Text("a"), ProviderFailed("the provider is down", retryable=True, model="m")]
    async with served(tmp_path, failing) as home, connected(home, way) as client:
        text, data = await refused(client, "ask_peer", peer="nobody", message="hi")
        assert (text, data["code"]) == ("no peer is called 'nobody'", "unknown_peer")
        text, data = await refused(client, "ask_peer", peer="apollo", message="hi")
        assert (text, data["code"], data["partial"]) == ("the provider is down", "provider_failed", "a")
        assert data["retryable"]
        text, data = await refused(client, "ask_peer", peer="apollo", massage="hi")
        assert data["code"] == "unprocessable"
        assert "massage" in text or "message" in text
        text, data = await refused(client, "find_capability", capability="design", threshold=7)
        assert text.startswith("arguments.threshold:")
        text, data = await refused(client, "ask_peer", peer="apollo", message=" ")
        assert data["code"] == "malformed"


async def test_a_bug_of_the_hub_is_an_error_without_a_stack_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(caller: McpCaller, given: Any) -> Outcome:
        raise KeyError("/secret/path")

    broken = tools.Tool("broken", "", "", arguments.Nothing, fail)
    monkeypatch.setitem(tools.BY_NAME, "broken", broken)
    async with served(tmp_path) as home, connected(home, WAYS[0]) as client:
        text, data = await refused(client, "broken")
        assert (text, data["code"]) == ("internal error; the hub's log has the details", "internal")
    assert "/secret/path" in caplog.text


@each_way
async def test_a_session_is_opened_continued_read_and_ended(tmp_path: Path, way: Way) -> None:
    async with served(tmp_path) as home, connected(home, way) as client:
        made = await asked(client, "create_session", peer="apollo", name="talk", context_window=4)
        assert (made["specialist_id"], made["name"], made["context_window"]) == ("apollo", "talk", 4)
        first = await asked(client, "ask_peer", peer="apollo", message="one", session_id="talk")
        await asked(client, "ask_peer", peer="apollo", message="two", session_id=made["id"])
        assert [past.content for past in home.driver.histories[1]] == ["one", "apollo heard: one"]
        read = await asked(client, "read_events", session_id="talk", cursor=first["cursor"])
        types = [event["type"] for event in read["events"]]
        assert (types.count("turn.completed"), read["outcome"]) == (2, "ok")
        assert read["cursor"] == read["events"][-1]["cursor"]
        assert (await asked(client, "read_events", session_id="talk", cursor=read["cursor"]))["events"] == []
        _text, data = await refused(client, "read_events", session_id="talk", cursor="0" * 32 + ":1")
        assert data["outcome"] == "epoch_changed"
        assert [s["id"] for s in (await asked(client, "list_sessions"))["sessions"]] == [made["id"]]
        assert (await asked(client, "cancel_session", session_id="talk"))["state"] == "stopped"
        _, data = await refused(client, "ask_peer", peer="apollo", message="x", session_id=made["id"])
        assert data["code"] == "session_over"


@each_way
async def test_a_message_that_nobody_waits_for_is_answered_in_a_session_that_is_kept(
    tmp_path: Path, way: Way
) -> None:
    async with served(tmp_path) as home, connected(home, way) as client:
        sent = await asked(client, "send_message", peer="apollo", message="later")
        assert sent["status"] == "accepted"
        await home.seen(sent["session_id"], lambda payload: payload.type == "turn.completed")
        read = await asked(client, "read_events", session_id=sent["session_id"], cursor=sent["cursor"])
        assert read["events"][-1]["data"]["text"] == "apollo heard: later"
        more = await asked(
            client, "send_message", peer="apollo", message="more", session_id=sent["session_id"], timeout=60
        )
        assert more["response"] == "apollo heard: more"


async def test_a_peer_that_does_not_answer_in_time_is_an_error_with_the_place_of_the_answer(
    tmp_path: Path,
) -> None:
    held = asyncio.Event()
    async with served(tmp_path, [held, Text("at last"), Done()]) as home, connected(home, one_way) as client:
        made = await asked(client, "create_session", peer="apollo")
        text, data = await refused(
            client, "ask_peer", peer="apollo", message="hi", session_id=made["id"], timeout=0.05
        )
        assert (text, data["code"]) == ("apollo has not answered within 0.05 s", "answer_timeout")
        held.set()
        await home.seen(made["id"], lambda payload: payload.type == "turn.completed")
        read = await asked(client, "read_events", session_id=made["id"], cursor=data["cursor"])
        assert read["events"][-1]["data"]["text"] == "at last"


@each_way
async def test_a_line_passes_an_answer_on_and_a_team_answers_together(tmp_path: Path, way: Way) -> None:
    async with served(tmp_path) as home, connected(home, way) as client:
        result = await client.call_tool("run_line", {"line": 'apollo "a" | athena "b"'})
        text = text_of(result)
        assert text.startswith("athena heard: [From Apollo]") and "apollo heard: a" in text
        data = result.structured_content
        assert (data["status"], data["results"]["s1"]["response"]) == ("completed", "apollo heard: a")
        result = await client.call_tool("team_chat", {"message": "hi", "team": "reviewers"})
        assert text_of(result) == "[From Apollo]\napollo heard: hi\n\n[From Athena]\nathena heard: hi"
        _, data = await refused(client, "run_line", line="apollo 'x' > /etc/passwd")
        assert data["code"] == "unprocessable"
        assert len((await asked(client, "team_chat", message="all"))["results"]) == 3


async def test_a_failed_step_is_an_error_that_has_the_other_answers(tmp_path: Path) -> None:
    failing = [ProviderFailed("no luck")]
    async with served(tmp_path, failing) as home, connected(home, one_way) as client:
        text, data = await refused(client, "run_line", line='apollo "a" | athena "b"')
        assert (data["status"], data["results"]["s1"]["error"]["code"]) == ("failed", "provider_failed")
        assert "s1 failed: no luck" in text


async def test_a_line_that_is_cancelled_stops_its_plan(tmp_path: Path) -> None:
    async with served(tmp_path, [asyncio.Event(), Done()]) as home, connected(home, one_way) as client:
        call = asyncio.create_task(client.call_tool("run_line", {"line": 'apollo "a" | athena "b"'}))
        while not home.hub.state.plans:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (plan,) = home.hub.state.plans
        await home.seen(plan, lambda payload: payload.type == "step.started")
        call.cancel()
        ended = await home.seen(plan, lambda payload: payload.type == "plan.ended")
        assert getattr(ended[-1], "status", "") == "cancelled"


async def test_a_task_goes_to_the_peer_that_can_do_all_of_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home, one_way) as client:
        found = await asked(client, "find_capability", capability="code-analysis")
        assert [match["ai_id"] for match in found["peers"]] == ["apollo", "athena"]
        task = await asked(
            client, "assign_task", description="check it", required_capabilities=["code-analysis"]
        )
        assert (task["ai"], task["priority"]) == ("athena", "normal")
        await home.seen(task["session_id"], lambda payload: payload.type == "turn.completed")
        session = (await home.ask("GET", f"/api/v2/sessions/{task['session_id']}")).json
        assert session["metadata"]["task"] == {
            "required_capabilities": ["code-analysis"],
            "priority": "normal",
        }
        _, data = await refused(
            client, "assign_task", description="x", required_capabilities=["code-analysis", "design"]
        )
        assert data["code"] == "no_capable_peer"


async def test_an_urgent_task_goes_to_an_idle_peer(tmp_path: Path) -> None:
    async with served(tmp_path, [asyncio.Event(), Done()]) as home, connected(home, one_way) as client:
        await asked(client, "send_message", peer="athena", message="busy")
        given = {"description": "now", "required_capabilities": ["code-analysis"]}
        assert (await asked(client, "assign_task", priority="high", **given))["ai"] == "apollo"
        assert (await asked(client, "assign_task", priority="low", **given))["ai"] == "athena"


class ShownConfiguration(NoConfiguration):
    def values(self) -> list[tuple[str, Any, str]]:
        return [("hub.port", 8300, "built in"), ("tools.x.env.KEY", "(masked)", "f:1")]


async def test_resources_show_the_configuration_the_peers_and_the_sessions(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home, WAYS[0]) as client:
        home.node.configuration = ShownConfiguration()
        home.hub.state.secrets.add(["sesame-open"])
        made = await asked(client, "create_session", peer="apollo", name="kept")
        await asked(client, "ask_peer", peer="apollo", message="sesame-open", session_id="kept")
        assert {str(r.uri) for r in (await client.list_resources()).resources} == {
            "rhetor://config", "rhetor://peers", "rhetor://sessions"
        }  # fmt: skip
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "rhetor://sessions/{id}"
        assert '"hub.port"' in await _read(client, "rhetor://config")
        assert '"athena"' in await _read(client, "rhetor://peers")
        assert made["id"] in await _read(client, "rhetor://sessions")
        shown = await _read(client, "rhetor://sessions/kept")
        assert "apollo heard:" in shown and "sesame-open" not in shown
        for uri in ("rhetor://sessions/none", "rhetor://nothing"):
            with pytest.raises(Exception, match="no "):
                await _read(client, uri)


async def _read(client: Client, uri: str) -> str:
    import mcp_types as types

    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    return content.text


async def test_the_specialists_are_prompts(tmp_path: Path) -> None:
    import mcp_types as types

    async with served(tmp_path) as home, connected(home, one_way) as client:
        assert {prompt.name for prompt in (await client.list_prompts()).prompts} == {
            "apollo", "athena", "prometheus"
        }  # fmt: skip
        (message,) = (await client.get_prompt("apollo", {"message": "hi"})).messages
        assert message.content == types.TextContent(type="text", text="the apollo\n\nhi")
        assert message.role == "user"
        with pytest.raises(Exception, match="nobody"):
            await client.get_prompt("nobody")


async def test_calls_count_among_the_callers_messages(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected(home, one_way) as client:
        home.node.rates = type(home.node.rates)(0.001, 2)
        await asked(client, "list_peers")
        await asked(client, "list_peers")
        _, data = await refused(client, "list_peers")
        assert (data["code"], data["burst"]) == ("rate_exceeded", 2)
