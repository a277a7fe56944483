"""One peer over a WebSocket: chat, stream and subscribe, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.calling import calling
from tests.served import served

from rhetor.domain.command import StartSession
from rhetor.domain.event import TurnInterrupted
from rhetor.domain.output import Done, Output, Permission, Text, ToolResult, ToolUse
from rhetor.domain.principal import Principal
from rhetor.errors import ProviderCut, ProviderTimeout, RateLimited
from rhetor.hub.core.limits import Limits

pytestmark = pytest.mark.anyio
OTHER = Principal.person("somebody else", local=True)


async def test_chat_returns_the_whole_answer_and_its_session(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws/ai/apollo-ai") as caller:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        result = await caller.result("chat", message="hi", session_id=made)
        assert (result["response"], result["session_id"]) == ("apollo heard: hi", made)
        alone = await caller.result("chat", message="again")
        assert alone["response"] == "apollo heard: again"
        assert alone["session_id"] != made


async def test_a_capability_is_answered_by_a_peer_that_has_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws/ai/@code-analysis") as caller:
        assert (await caller.result("chat", message="hi"))["ai"] == "apollo"


async def test_a_stream_is_accepted_then_sends_chunks_then_completes(tmp_path: Path) -> None:
    async with (
        served(tmp_path, [Text("He "), Text("llo"), Done()]) as home,
        calling(home, "/ws/ai/apollo") as caller,
    ):
        accepted = await caller.result("stream", message="hi")
        assert caller.told == []
        complete = await caller.until(lambda frame: frame["method"] == "stream.complete")
        params = [frame["params"] for frame in caller.told]
        assert {p["specialist_id"] for p in params} == {"apollo"}
        assert {p["session_id"] for p in params} == {accepted["session_id"]}
        assert "".join(p["content"] for p in params[:-1]) == "He llo"
        assert [p["prev"] for p in params] == [0, *(p["seq"] for p in params[:-1])]
        assert complete == caller.told[-1]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderTimeout("nothing came", phase="idle"), -32002),
        (ProviderCut("it broke off"), -32001),
        (RateLimited("later"), -32001),
    ],
)
async def test_a_failed_turn_is_an_error_and_ends_a_stream(tmp_path: Path, error: Any, code: int) -> None:
    script = [Text("Well, "), error]
    async with served(tmp_path, script, script) as home, calling(home, "/ws/ai/apollo") as caller:
        reply = await caller.ask("chat", message="hi")
        assert (reply["error"]["code"], reply["error"]["data"]["code"]) == (code, error.code)
        assert reply["error"]["data"]["partial"] == "Well, "
        await caller.result("stream", message="hi")
        await caller.until(lambda frame: frame["method"] == "stream.complete")
        await caller.result("chat", message="more")
        methods, told = zip(*((frame["method"], frame["params"]) for frame in caller.told), strict=True)
        assert methods == ("stream.chunk", "stream.error", "stream.complete")
        assert told[1]["code"] == error.code
        assert told[0]["seq"] < told[1]["seq"] < told[2]["seq"]
        assert [params["prev"] for params in told] == [0, told[0]["seq"], told[1]["seq"]]


@pytest.mark.parametrize(
    "output",
    [
        Text("Hm", "reasoning"),
        Text("warning", "stderr"),
        ToolUse("c", "look", {}, "hub"),
        ToolResult("c", "found"),
        Permission("r", "look", {}, ()),
    ],
)
async def test_each_frame_of_a_turn_that_fails_without_text_has_its_own_number(
    tmp_path: Path, output: Output
) -> None:
    script = [output, ProviderCut("it broke off")]
    async with served(tmp_path, script) as home, calling(home, "/ws/ai/apollo") as caller:
        await caller.result("stream", message="hi")
        await caller.until(lambda frame: frame["method"] == "stream.complete")
        methods, params = zip(*((frame["method"], frame["params"]) for frame in caller.told), strict=True)
        returned = ("stream.tool_result",) if isinstance(output, ToolUse) else ()
        assert methods[1:] == (*returned, "stream.error", "stream.complete")
        numbers = [each["seq"] for each in params]
        assert sorted(set(numbers)) == numbers
        assert [each["prev"] for each in params] == [0, *numbers[:-1]]
        head = await home.hub.state.store.head(params[0]["session_id"])
        assert head is not None
        assert numbers[-1] <= head.head


async def test_calls_are_answered_while_a_chat_waits(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, [go, Text("late"), Done()]) as home, calling(home, "/ws/ai/apollo") as caller:
        await caller.send({"jsonrpc": "2.0", "id": "slow", "method": "chat", "params": {"message": "a"}})
        assert (await caller.result("chat", message="b"))["response"] == "apollo heard: b"
        go.set()
        assert (await caller.reply("slow"))["result"]["response"] == "late"


async def test_a_batch_with_chats_is_answered_together(tmp_path: Path) -> None:
    barrier = asyncio.Barrier(2)
    scripts = [[barrier, Text(text), Done()] for text in ("x", "x")]
    async with served(tmp_path, *scripts) as home, calling(home, "/ws/ai/apollo") as caller:
        calls = [
            {"jsonrpc": "2.0", "id": 1, "method": "chat", "params": {"message": "a"}},
            {"jsonrpc": "2.0", "method": "chat", "params": {"message": ""}},
            {"jsonrpc": "2.0", "id": 2, "method": "chat", "params": {"message": "b"}},
            {"jsonrpc": "2.0", "id": 3, "method": "nothing"},
        ]
        await caller.send(calls)
        replies = {reply["id"]: reply for reply in await caller.read()}
        assert set(replies) == {1, 2, 3}
        assert [replies[n]["result"]["response"] for n in (1, 2)] == ["x", "x"]
        assert replies[3]["error"]["code"] == -32601


async def test_notifications_come_after_the_replies_of_a_batch_with_a_chat(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws/ai/apollo") as caller:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        calls = [
            {"jsonrpc": "2.0", "id": 1, "method": "stream", "params": {"message": "a"}},
            {"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": {"session_id": made}},
            {"jsonrpc": "2.0", "id": 3, "method": "chat", "params": {"message": "b", "session_id": made}},
        ]
        await caller.send(calls)
        replies = {reply["id"]: reply["result"] for reply in await caller.read()}
        assert replies[3]["response"] == "apollo heard: b"
        await caller.until(lambda f: f["method"] == "stream.complete")
        await caller.until(lambda f: f["params"].get("type") == "turn.completed")
        assert isinstance(caller.all[0], list)
        assert {f["method"] for f in caller.told} == {"event", "stream.chunk", "stream.complete"}


async def test_a_subscription_replays_and_then_follows(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws/ai/apollo") as caller:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        await caller.result("chat", message="one", session_id=made)
        answer = await caller.result("subscribe", session_id=made)
        assert (answer["outcome"], answer["recovered"], answer["earliest"]) == ("ok", True, 1)
        await caller.result("chat", message="two", session_id=made)
        await caller.until(lambda f: f["params"]["seq"] == answer["head"] + 4)
        events = [frame["params"] for frame in caller.told]
        assert [e["seq"] for e in events] == list(range(1, answer["head"] + 5))
        assert [e["prev"] for e in events] == [e["seq"] - 1 for e in events]
        middle = events[3]["cursor"]
        async with calling(home, "/ws/ai/athena") as other:
            await other.result("subscribe", session_id=made, cursor=middle)
            await other.until(lambda f: f["params"]["seq"] == events[-1]["seq"])
            assert [frame["params"] for frame in other.told] == events[4:]


async def test_subscribing_at_a_lost_cursor_returns_its_outcome(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws/ai/apollo") as caller:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        lost = await caller.result("subscribe", session_id=made, cursor="0" * 32 + ":1")
        assert (lost["outcome"], lost["recovered"], lost["head"]) == ("epoch_changed", False, 1)
        assert lost["session_id"] == made
        lost = await caller.result("subscribe", session_id=made, cursor=f"{lost['epoch']}:9")
        assert lost["outcome"] == "ahead"
        assert await caller.code("subscribe", session_id=made, cursor="nonsense") == -32602


async def test_missing_and_foreign_sessions_give_the_same_error(tmp_path: Path) -> None:
    async with served(tmp_path) as home, calling(home, "/ws/ai/apollo") as caller:
        theirs = await home.hub.execute(OTHER, StartSession("apollo"))
        for id in (theirs.id, "s_never"):
            for method, more in (("chat", {"message": "a"}), ("stream", {"message": "a"}), ("subscribe", {})):
                reply = await caller.ask(method, session_id=id, **more)
                assert (reply["error"]["code"], reply["error"]["data"]["code"]) == (-32602, "not_found")
        other = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "athena"})).json["id"]
        assert await caller.code("chat", message="a", session_id=other) == -32602


async def test_an_anonymous_turn_is_interrupted_if_its_caller_disconnects(tmp_path: Path) -> None:
    limits = Limits(abandon_after=0.05)
    async with served(tmp_path, [Text("Well, "), asyncio.Event()], limits=limits) as home:
        async with calling(home, "/ws/ai/apollo") as caller:
            session = (await caller.result("stream", message="hi"))["session_id"]
            await caller.until(lambda frame: True)
        await home.seen(session, lambda payload: isinstance(payload, TurnInterrupted))
