"""The interactive loop: sessions, tools, pauses, ends, connections that come and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.calling import Caller, calling
from tests.served import Served, served
from tests.tooled import tooled

from rhetor.domain.command import StartSession, StopSession
from rhetor.domain.event import Payload, SessionStateChanged, TurnCompleted
from rhetor.domain.output import Done, Text, ToolUse
from rhetor.domain.principal import Principal
from rhetor.errors import ProviderCut, ProviderTimeout, StoreRefused
from rhetor.hub.core.limits import Limits

pytestmark = pytest.mark.anyio
OTHER = Principal.person("somebody else", local=True)
LIMITS = Limits(default_peer="apollo")


@asynccontextmanager
async def looped(folder: Path, *scripts: Any, **options: Any) -> AsyncIterator[tuple[Served, Caller]]:
    async with (
        served(folder, *scripts, **{"limits": LIMITS, **options}) as home,
        calling(home, "/ws") as caller,
    ):
        yield home, caller


def is_stop(payload: Payload) -> bool:
    return payload == SessionStateChanged("stopped")


async def start(caller: Caller, **params: Any) -> str:
    return await caller.started(**params)


async def say(caller: Caller, session: str, message: str = "hi", **more: Any) -> dict[str, Any]:
    found = await caller.result("sendUserMessage", sessionId=session, message=message, **more)
    assert found["status"] == 0
    return dict(found)


async def test_a_message_is_accepted_before_its_first_chunk_and_ends_with_one_final(tmp_path: Path) -> None:
    script = [Text("He "), Text("llo"), Done()]
    async with looped(tmp_path, script) as (home, caller):
        session = await start(caller)
        accepted = await say(caller, session)
        assert caller.told == []
        chunks = await caller.final()
        assert "".join(chunk["chunk"] for chunk in chunks) == "He llo"
        assert [chunk["isFinal"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
        assert {chunk["sessionId"] for chunk in chunks} == {session}
        last = 1  # the number of the status after the start
        for chunk in chunks:
            assert chunk["prev"] == last < chunk["seq"]
            last = chunk["seq"]
        [completed] = [p for p in await home.log(session) if isinstance(p, TurnCompleted)]
        assert completed.message_id == accepted["messageId"]


async def test_the_reply_comes_before_the_chunks_even_of_a_fast_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with looped(tmp_path) as (home, caller):
        session, execute = await start(caller), home.hub.execute

        async def slow(principal: Principal, command: Any, api: str) -> Any:
            found = await execute(principal, command, api)
            await home.seen(session, lambda payload: isinstance(payload, TurnCompleted))
            for _ in range(10):
                await asyncio.sleep(0)  # give followers time to run
            return found

        monkeypatch.setattr(home.hub, "execute", slow)
        await say(caller, session)
        assert caller.told == []
        assert len(await caller.final()) == 2


async def test_a_session_without_a_peer_uses_the_configured_one(tmp_path: Path) -> None:
    async with looped(tmp_path) as (home, caller):
        for wished, expected in ((None, "apollo"), ("athena-ai", "athena")):
            session = await start(caller, **({"peer": wished} if wished else {}))
            await say(caller, session, "hello")
            heard = await caller.until(lambda f, s=session: f["params"]["sessionId"] == s)  # type: ignore[misc]
            assert heard["params"]["chunk"] == f"{expected} heard: hello"
        assert await caller.code("startSession", userId="ann", sessionParams={"peer": "nobody"}) == -32602
        assert await caller.code("startSession", userId="ann", sessionParams={"model": "nobody/m"}) == -32602
        assert home.driver.most_at_once == 1


async def test_an_empty_answer_has_its_final_chunk(tmp_path: Path) -> None:
    async with looped(tmp_path, [Done()]) as (_, caller):
        await say(caller, await start(caller))
        assert [(c["chunk"], c["isFinal"]) for c in await caller.final()] == [("", True)]


@pytest.mark.parametrize(
    ("script", "reason", "said"),
    [
        ([ProviderTimeout("nothing came", phase="idle")], "timeout", ""),
        ([Text("Well, "), ProviderTimeout("nothing came", phase="idle")], "timeout", "Well, "),
        ([Text("Well, "), ProviderCut("it broke off")], "provider_cut", "Well, "),
    ],
)
async def test_a_failed_turn_is_reported_and_the_session_continues(
    tmp_path: Path, script: Any, reason: str, said: str
) -> None:
    async with looped(tmp_path, script, [Text("Yes."), Done()]) as (_, caller):
        session = await start(caller)
        await say(caller, session)
        chunks = await caller.final()
        assert caller.statuses() == [(3, reason)]
        assert "".join(chunk["chunk"] for chunk in chunks) == said
        assert caller.told[-1]["params"]["isFinal"] is True
        numbers = [frame["params"]["seq"] for frame in caller.told]
        assert numbers == sorted(set(numbers))
        await say(caller, session, "and now?")
        assert "".join(chunk["chunk"] for chunk in await caller.final(2)) == said + "Yes."


async def test_an_interrupted_turn_is_reported_with_one_final_chunk(tmp_path: Path) -> None:
    async with looped(tmp_path, [Text("Well, "), asyncio.Event(), Done()]) as (home, caller):
        session = await start(caller)
        await say(caller, session)
        await caller.until(lambda frame: True)
        assert (await home.ask("POST", f"/api/v2/sessions/{session}/interrupt")).status == 200
        chunks = await caller.final()
        assert caller.statuses() == [(3, "interrupted")]
        assert [chunk["isFinal"] for chunk in chunks] == [False, True]


WISH = ToolUse("call_1", "weather", {"place": {"town": "Pylos", "at": [1.5, None]}}, "client")


async def test_a_tool_call_accepts_one_result(tmp_path: Path) -> None:
    given = asyncio.Event()
    async with looped(tmp_path, [WISH, given, Text("Rain."), Done()]) as (_, caller):
        session = await start(caller)
        await say(caller, session)
        call = (await caller.until(lambda f: f["method"] == "ToolCallNotification"))["params"]
        assert (call["toolCallId"], call["toolName"], call["arguments"]) == (
            "call_1",
            "weather",
            WISH.arguments,
        )
        answer = {"sessionId": session, "toolCallId": "call_1", "result": [{"mm": 3}, None]}
        assert await caller.code("provideToolResult", {**answer, "toolCallId": "call_2"}) == -32602
        unknown = (await caller.ask("provideToolResult", {**answer, "sessionId": "s_none"}))["error"]
        assert (unknown["code"], unknown["data"]["kind"]) == (-32602, "session")
        assert await caller.result("provideToolResult", answer) == {"status": 0}
        assert await caller.code("provideToolResult", answer) == -32602
        given.set()
        assert [chunk["chunk"] for chunk in await caller.final()] == ["Rain.", ""]
        assert await caller.code("provideToolResult", answer) == -32602


async def test_tools_prompt_and_language_of_a_session_reach_the_model(tmp_path: Path) -> None:
    from tests.provider import Script
    from tests.provider import ToolCall as Wished

    async with tooled(tmp_path) as house:
        asked = Script(chunks=("Let me see.",), tool_calls=(Wished("weather", '{"place": 1}', "call_0"),))
        house.provider.script(asked, Script(chunks=("It rains.",)))
        async with calling(house.home, "/ws") as caller:
            tool = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}}
            wishes = {
                "tools": [tool],
                "systemPrompt": "You are a sailor.",
                "language": "Greek",
                "context": {"a": 1},
            }
            session = await start(caller, peer="nestor", **wishes)
            await say(caller, session, "How is it outside?")
            call = (await caller.until(lambda f: f["method"] == "ToolCallNotification"))["params"]
            result = {"sessionId": session, "toolCallId": call["toolCallId"], "result": {"sky": "grey"}}
            assert await caller.result("provideToolResult", result) == {"status": 0}
            chunks = await caller.final()
        assert "".join(chunk["chunk"] for chunk in chunks) == "Let me see.\n\nIt rains."
        first, second = house.provider.requests
        assert [t["function"]["name"] for t in first["tools"]] == ["weather"]
        system = json.dumps([m["content"] for m in first["messages"] if m["role"] == "system"])
        assert "You are a sailor." in system
        assert "Greek" in system
        assert "You are Nestor." not in system
        assert "grey" in json.dumps(second["messages"])


async def test_a_paused_session_holds_messages_until_it_is_resumed(tmp_path: Path) -> None:
    async with looped(tmp_path) as (home, caller):
        session = await start(caller)
        assert await caller.result("pauseSession", sessionId=session) == {"status": 4}
        await say(caller, session, "later")
        assert home.driver.heard == []
        resumed = await caller.result("resumeSession", sessionId=session)
        assert (resumed["status"], resumed["outcome"], resumed["recovered"]) == (1, "ok", True)
        chunks = await caller.final()
        assert [chunk["chunk"] for chunk in chunks] == ["apollo heard: later", ""]
        assert caller.statuses() == [(4, "paused"), (1, "active")]


async def test_stopping_works_during_a_turn_twice_and_for_unknown_sessions(
    tmp_path: Path,
) -> None:
    async with looped(tmp_path, [Text("Well, "), asyncio.Event(), Done()]) as (home, caller):
        session = await start(caller)
        await say(caller, session)
        await caller.until(lambda frame: True)
        for id in (session, session, "s_never", ""):
            assert await caller.result("stopSession", sessionId=id) == {"status": 2}
        chunks = await caller.final()
        assert [chunk["isFinal"] for chunk in chunks] == [False, True]
        assert caller.statuses() == [(2, "stopped")]
        assert await caller.code("sendUserMessage", sessionId=session, message="hi") == -32602
        assert await caller.code("resumeSession", sessionId=session) == -32602
        assert await caller.code("pauseSession", sessionId=session) == -32602
        assert home.driver.ended_early == 1
        assert home.hub.state.runners == {}


async def test_echo_returns_its_parameters(tmp_path: Path) -> None:
    async with looped(tmp_path) as (_, caller):
        assert await caller.result("echo", {"message": {"a": [1, None, "ä\u2028"]}, "b": 2}) == {
            "a": [1, None, "ä\u2028"]
        }
        assert await caller.result("echo", {"message": None}) is None
        assert await caller.result("echo", {"b": 2}) == {"b": 2}
        assert await caller.result("echo", ["x"]) == ["x"]


async def test_a_session_of_another_owner_looks_as_if_it_did_not_exist(tmp_path: Path) -> None:
    async with looped(tmp_path) as (home, caller):
        theirs = await home.hub.execute(OTHER, StartSession("apollo"))
        for method, more in (
            ("sendUserMessage", {"message": "hi"}),
            ("pauseSession", {}),
            ("resumeSession", {}),
            ("provideToolResult", {"toolCallId": "c", "result": 1}),
        ):
            reply = await caller.ask(method, sessionId=theirs.id, **more)
            never = await caller.ask(method, sessionId="s_never", **more)
            assert reply["error"]["code"] == never["error"]["code"] == -32602
        assert await caller.result("stopSession", sessionId=theirs.id) == {"status": 2}
        kept = await home.hub.execute(OTHER, StopSession(theirs.id))
        assert kept.state == "stopped"
        payloads = await home.log(theirs.id)
        assert len(payloads) == 2  # the owner's stop ended it


async def test_another_connection_receives_missed_chunks(tmp_path: Path) -> None:
    go = asyncio.Event()
    script = [Text("one "), go, Text("two "), Text("three"), Done()]
    async with served(tmp_path, script, limits=LIMITS) as home:
        async with calling(home, "/ws") as first:
            session = await start(first)
            await say(first, session)
            chunk = (await first.until(lambda frame: True))["params"]
            cursor = f"{chunk['epoch']}:{chunk['seq']}"
            first.socket.transport.abort()
        go.set()
        await home.seen(session, lambda payload: isinstance(payload, TurnCompleted))
        async with calling(home, "/ws") as second:
            resumed = await second.result("resumeSession", sessionId=session, cursor=cursor)
            assert resumed["outcome"] == "ok"
            chunks = await second.final()
            assert "".join(chunk["chunk"] for chunk in chunks) == "two three"
            assert chunks[0]["prev"] == chunk["seq"]
            await say(second, session, "more")
            assert (await second.final(2))[-2]["chunk"] == "apollo heard: more"
        async with calling(home, "/ws") as third:
            await third.result("resumeSession", sessionId=session)
            whole = await third.final(2)
            assert "".join(chunk["chunk"] for chunk in whole) == "one two threeapollo heard: more"


async def test_a_lost_cursor_is_reported_and_nothing_is_followed(tmp_path: Path) -> None:
    async with looped(tmp_path) as (_, caller):
        session = await start(caller)
        other, ahead = "0" * 32 + ":1", 10**6
        lost = await caller.result("resumeSession", sessionId=session, cursor=other)
        assert (lost["status"], lost["outcome"], lost["recovered"]) == (1, "epoch_changed", False)
        beyond = f"{lost['epoch']}:{ahead}"
        lost = await caller.result("resumeSession", sessionId=session, cursor=beyond)
        assert (lost["outcome"], lost["recovered"]) == ("ahead", False)
        assert await caller.code("resumeSession", sessionId=session, cursor="nonsense") == -32602
        again = await caller.result(
            "resumeSession", sessionId=session, cursor=f"{lost['epoch']}:{lost['head']}"
        )
        assert again["outcome"] == "ok"


async def test_a_reader_whose_position_is_lost_is_closed_with_4010(tmp_path: Path) -> None:
    async with looped(tmp_path) as (home, caller):
        session = await start(caller)
        await say(caller, session)
        [*_, last] = await caller.final()
        body = {"at": f"{last['epoch']}:{last['seq'] - 1}"}
        assert (await home.ask("POST", f"/api/v2/sessions/{session}/restore", body)).status == 200
        assert await caller.closed() == (4010, "position_lost: epoch_changed")


async def test_a_message_without_a_resume_is_answered_on_its_own_connection(
    tmp_path: Path,
) -> None:
    async with looped(tmp_path) as (home, first):
        session = await start(first)
        async with calling(home, "/ws") as second:
            await say(second, session, "from elsewhere")
            for caller in (first, second):
                assert [c["chunk"] for c in await caller.final()] == ["apollo heard: from elsewhere", ""]


async def test_a_repeated_command_runs_once(tmp_path: Path) -> None:
    async with looped(tmp_path) as (home, caller):
        session = await start(caller)
        first = await say(caller, session, command_id="k1")
        assert await say(caller, session, command_id="k1") == first
        assert (
            await caller.code("sendUserMessage", sessionId=session, message="other", command_id="k1")
            == -32602
        )
        await caller.final()
        assert len(home.driver.heard) == 1


async def test_an_invalid_message_is_rejected(tmp_path: Path) -> None:
    async with looped(tmp_path) as (_, caller):
        session = await start(caller)
        for message in ("", "   ", 7, None):
            assert await caller.code("sendUserMessage", sessionId=session, message=message) == -32602
        assert (
            await caller.code("sendUserMessage", sessionId=session, message="x" * (1 << 20) + "y") == -32003
        )
        assert await caller.result("echo", message="still there") == "still there"


async def test_if_busy_refuse_rejects_a_message_to_a_busy_session(tmp_path: Path) -> None:
    async with looped(tmp_path, [asyncio.Event(), Done()]) as (_, caller):
        session = await start(caller)
        await say(caller, session)
        reply = await caller.ask("sendUserMessage", sessionId=session, message="hi", if_busy="refuse")
        assert (reply["error"]["code"], reply["error"]["data"]["code"]) == (-32003, "peer_busy")


async def test_a_store_failure_is_reported_as_retryable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with looped(tmp_path) as (home, caller):
        session = await start(caller)

        async def refuse(*args: Any, **options: Any) -> None:
            raise StoreRefused("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(home.hub.state.store, "commit", refuse)
            reply = await caller.ask("sendUserMessage", sessionId=session, message="hi")
        assert (reply["error"]["code"], reply["error"]["data"]["retryable"]) == (-32010, True)
        await say(caller, session)
        assert (await caller.final())[-1]["isFinal"]


async def test_a_detached_session_stops_after_its_ttl_and_its_running_turn(tmp_path: Path) -> None:
    go = asyncio.Event()
    limits = Limits(default_peer="apollo", detach_ttl=0.05)
    async with served(tmp_path, [Text("one "), go, Text("two"), Done()], limits=limits) as home:
        async with calling(home, "/ws") as caller:
            idle, busy = await start(caller), await start(caller)
            await say(caller, busy)
            await caller.until(lambda frame: True)
        events = await home.seen(idle, is_stop)
        assert [payload.type for payload in events] == ["session.state"] * 2
        assert "turn.cancelled" not in [payload.type for payload in await home.log(busy)]
        go.set()
        events = await home.seen(busy, is_stop)
        types = [payload.type for payload in events]
        assert types[-2:] == ["turn.completed", "session.state"]


async def test_a_detached_session_continues_if_its_client_returns(tmp_path: Path) -> None:
    limits = Limits(default_peer="apollo", detach_ttl=0.2)
    async with served(tmp_path, limits=limits) as home:
        async with calling(home, "/ws") as first:
            kept, left = await start(first), await start(first)
        async with calling(home, "/ws") as second:
            await second.result("resumeSession", sessionId=kept)
            await home.seen(left, is_stop)
            assert (await home.ask("GET", f"/api/v2/sessions/{kept}")).json["state"] == "active"
            await say(second, kept)
            assert (await second.final())[-1]["isFinal"]


async def test_following_a_session_of_another_api_does_not_end_it(tmp_path: Path) -> None:
    limits = Limits(default_peer="apollo", detach_ttl=0.05)
    async with served(tmp_path, limits=limits) as home:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        async with calling(home, "/ws") as caller:
            await caller.result("resumeSession", sessionId=made)
            own = await start(caller)
        await home.seen(own, is_stop)
        assert (await home.ask("GET", f"/api/v2/sessions/{made}")).json["state"] == "active"


async def test_twelve_concurrent_clients_each_get_their_own_answer(tmp_path: Path) -> None:
    barrier = asyncio.Barrier(12)
    scripts = [[barrier, *(Text(f"{n}.{i} ") for i in range(20)), Done()] for n in range(12)]
    async with served(tmp_path, *scripts, limits=LIMITS) as home:

        async def talk(n: int) -> tuple[str, str]:
            async with calling(home, "/ws") as caller:
                session = await start(caller)
                await say(caller, session, f"client {n}")
                chunks = await caller.final()
                assert {chunk["sessionId"] for chunk in chunks} == {session}
                log = [p for p in await home.log(session) if isinstance(p, TurnCompleted)]
                said = "".join(chunk["chunk"] for chunk in chunks)
                assert said == log[0].text
                return session, said

        found = await asyncio.gather(*map(talk, range(12)))
        assert len({session for session, _ in found}) == len({said for _, said in found}) == 12
        assert home.driver.most_at_once == 12


async def test_one_connection_can_use_several_sessions_at_once(tmp_path: Path) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    async with looped(tmp_path, [first, Text("a"), Done()], [second, Text("b"), Done()]) as (_, caller):
        one, two = await start(caller), await start(caller, peer="athena")
        await say(caller, one)
        await say(caller, two)
        second.set()
        await caller.final()
        first.set()
        chunks = await caller.final(2)
        assert [(c["sessionId"], c["chunk"]) for c in chunks] == [
            (two, "b"),
            (two, ""),
            (one, "a"),
            (one, ""),
        ]
