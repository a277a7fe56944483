"""Named sockets: written to, read in order, resumed, with the same log as every other API."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.calling import calling, calling_tcp
from tests.rhetor.transports.socket_client import Frame, connected_socket, created
from tests.served import TOKEN, Served, served
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from rhetor.domain.command import OpenSocket, Principal, StopSession
from rhetor.domain.event import Position, StepStarted, TurnCompleted
from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut
from rhetor.hub.core.limits import Limits
from rhetor.hub.sessions.sockets import found_socket
from rhetor.store.base import Record
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore
from rhetor.transports.server.rates import Rates

pytestmark = pytest.mark.anyio
ME, OTHER = Principal("me", local=True), Principal("somebody else", local=True)
SPECIALISTS = ["apollo", "athena", "prometheus"]


async def refused(home: Served, path: str) -> tuple[int, str]:
    """Return status and code of the response to a rejected upgrade."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with pytest.raises(InvalidStatus) as error:
        async with connect(f"ws://127.0.0.1:{home.port}{path}", additional_headers=headers):
            pass
    response = error.value.response
    return response.status_code, json.loads(response.body or b"{}")["code"]


def contents(frames: list[Frame]) -> list[Any]:
    return [frame["content"] for frame in frames]


async def events_of(home: Served, session_id: str) -> list[Frame]:
    found: list[Frame] = (await home.ask("GET", f"/api/v2/sessions/{session_id}/events")).json["events"]
    return found


async def until_free(home: Served, session_id: str) -> None:
    """Wait until no turn runs or is queued; an answer arrives shortly before that."""
    while True:
        heard = home.hub.state.notifier.next()
        if session_id not in home.hub.state.runners:
            return
        await heard.wait()


async def until_unread(home: Served, socket_id: str, count: int) -> None:
    """Wait until `count` whole messages are unread in the socket."""
    async with asyncio.timeout(20):
        while True:
            listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
            if next(s for s in listed if s["socket_id"] == socket_id)["waiting"] == count:
                return
            await asyncio.sleep(0.02)


async def test_a_message_is_answered_with_the_header_of_the_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home)
        assert made == {
            "socket_id": "apollo-1",
            "websocket_url": f"ws://127.0.0.1:{home.port}/ws/socket/apollo-1",
            "session_id": made["session_id"],
            "ai": "apollo",
        }
        async with connected_socket(home, "apollo-1") as client:
            await client.write("hi")
            frame = await client.read()
        [end] = [e for e in await events_of(home, made["session_id"]) if e["type"] == "turn.completed"]
        assert frame == {
            "type": "read",
            "content": "apollo heard: hi",
            "headers": ["team-chat-from-apollo-1"],
            "ai": "apollo",
            "turn_id": end["turn_id"],
            "session_id": made["session_id"],
            "epoch": end["epoch"],
            "seq": end["seq"],
            "prev": 0,
        }


async def test_with_stream_the_chunks_come_before_the_whole_answer(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("He "), Text("llo"), Done()]) as home:
        await created(home, "@code-analysis")
        async with connected_socket(home, "apollo-1", stream=1) as client:
            await client.write("hi")
            [whole] = await client.reads(1)
            *chunks, last = client.all
            assert {frame["type"] for frame in chunks} == {"chunk"}
            assert ("".join(contents(chunks)), whole["content"], last) == ("He llo", "He llo", whole)
            assert [f["prev"] for f in client.all] == [0, *(f["seq"] for f in client.all[:-1])]


async def test_a_socket_with_a_model_that_no_provider_knows_is_not_opened(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = {"ai_name": "apollo", "model": "nobody/m"}
        answer = await home.ask("POST", "/api/ai/socket/create", body)
        assert (answer.status, answer.json["code"]) == (422, "unknown_model")
        assert (answer.json["model"], answer.json["hint"]) == ("nobody/m", "providers: openai")
        listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
        assert "apollo" not in [socket["ai"] for socket in listed]


async def test_a_socket_keeps_its_history_prompt_model_and_context(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home, prompt="Be brief.", model="openai/gpt-x", context={"screen": "main"})
        async with connected_socket(home, made["socket_id"]) as client:
            for text in ("one", "two"):
                await client.write(text)
            assert contents(await client.reads(2)) == ["apollo heard: one", "apollo heard: two"]
        assert [said.content for said in home.driver.histories[-1]] == ["one", "apollo heard: one"]
        session = (await home.ask("GET", f"/api/v2/sessions/{made['session_id']}")).json
        assert (session["metadata"], session["ttl"]) == ({"socket_id": "apollo-1"}, None)
        row = await home.hub.state.store.get("session", made["session_id"])
        assert row is not None
        voice = json.loads(row.doc)["voice"]
        assert (voice["prompt"], voice["model"]) == ("Be brief.", "openai/gpt-x")
        assert voice["besides"].endswith('\n{"screen":"main"}')


async def test_unread_messages_are_read_later_in_order_even_after_a_restart(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home:
        made = await created(home)
        for text in ("one", "two", "three"):
            answer = await home.ask(
                "POST", f"/api/v2/sessions/{made['session_id']}/message", {"message": text}
            )
            assert answer.status == 200
        await until_unread(home, "apollo-1", 3)
        async with connected_socket(home, "apollo-1") as client:
            assert contents(await client.reads(2)) == ["apollo heard: one", "apollo heard: two"]
            assert contents(await client.reads(1)) == ["apollo heard: three"]
        await until_unread(home, "apollo-1", 0)
    async with served(tmp_path, store=store) as home:
        await home.ask("POST", f"/api/v2/sessions/{made['session_id']}/message", {"message": "four"})
        async with connected_socket(home, "apollo-1") as client:  # read messages are not sent again
            assert contents(await client.reads(1)) == ["apollo heard: four"]


async def test_a_socket_resumes_after_a_cursor_and_reports_a_lost_one(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home)
        async with connected_socket(home, "apollo-1") as client:
            await client.write("one")
            await client.write("two")
            first, second = await client.reads(2)
        cursor = f"{first['epoch']}:{first['seq']}"
        async with connected_socket(home, "apollo-1", cursor=cursor) as client:
            resumed = await client.read()
            head = (await events_of(home, made["session_id"]))[-1]["seq"]
            assert resumed == {
                "type": "resumed",
                "outcome": "ok",
                "recovered": True,
                "epoch": first["epoch"],
                "head": head,
                "earliest": 1,
            }
            assert await client.read() == {**second, "prev": first["seq"]}
        for cursor, outcome in (("0" * 32 + ":1", "epoch_changed"), (f"{first['epoch']}:999", "ahead")):
            async with connected_socket(home, "apollo-1", cursor=cursor) as client:
                assert await client.closed() == (4010, f"position_lost: {outcome}")
                assert (client.all[0]["outcome"], client.all[0]["recovered"]) == (outcome, False)
        assert await refused(home, "/ws/socket/apollo-1?cursor=x") == (400, "malformed_cursor")


async def test_every_api_shows_the_same_log(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home)
        session = made["session_id"]
        async with (
            connected_socket(home, "apollo-1") as one,
            connected_socket(home, "apollo-1", echo=1) as two,
            calling(home, "/ws/ai/apollo") as peer_socket,
            calling(home, "/ws") as loop,
        ):
            await peer_socket.result("subscribe", session_id=session)
            await loop.result("resumeSession", sessionId=session)
            await one.write("from the socket", **{"from": "ann"})
            await one.reads(1)
            await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "over REST"})
            await one.reads(1)
            await peer_socket.result("chat", session_id=session, message="over /ws/ai")
            await loop.result("sendUserMessage", sessionId=session, message="over /ws")
            await one.reads(2)
            await two.reads(4)
            events = await events_of(home, session)
            ends = [e for e in events if e["type"] == "turn.completed"]
            said = [e for e in events if e["type"] == "message.accepted"]
            assert [(f["seq"], f["content"]) for f in one.all] == [
                (e["seq"], e["data"]["text"]) for e in ends
            ]
            read = [f for f in two.all if f["type"] == "read"]
            written = [f for f in two.all if f["type"] == "written"]
            assert contents(read) == contents(one.all)
            assert [(f["seq"], f["content"], f["from"]) for f in written] == [
                (e["seq"], e["data"]["content"], e["data"]["from"]) for e in said
            ]
            assert written[0]["from"] == "ann"
            await peer_socket.until(lambda frame: frame["params"]["seq"] == events[-1]["seq"])
            told = [f["params"] for f in peer_socket.told]
            assert told == events
            assert "".join(c["chunk"] for c in await loop.final(4)) == "".join(contents(one.all))
        async for event in home.frames(f"/api/v2/sessions/{session}/events"):
            assert event == events.pop(0)
            if not events:
                break


async def test_the_team_chat_has_every_specialists_answer_with_its_header(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected_socket(home, "team-chat-all") as client:
        await client.write("hi")
        frames = await client.reads(3)
        assert {f["headers"][0]: f["content"] for f in frames} == {
            f"team-chat-from-{name}": f"{name} heard: hi" for name in SPECIALISTS
        }
        await client.write("and now?")
        assert {f["content"] for f in await client.reads(3)} == {
            f"{name} heard: and now?" for name in SPECIALISTS
        }
        assert [f["type"] for f in client.all] == ["read"] * 6
        remembered = [[s.content for s in history] for history in home.driver.histories[3:]]
        assert sorted(remembered) == sorted(["hi", f"{name} heard: hi"] for name in SPECIALISTS)


async def test_the_team_chat_streams_the_chunks_of_each_member(tmp_path: Path) -> None:
    go = asyncio.Event()
    script = [Text("one "), go, Text("two"), Done()]
    async with (
        served(tmp_path, script, script, script) as home,
        connected_socket(home, "team-chat-all", stream=1) as client,
    ):
        await client.write("hi")
        first = await client.reads(3, "chunk")
        assert contents(first) == ["one "] * 3
        assert {f["headers"][0] for f in first} == {f"team-chat-from-{name}" for name in SPECIALISTS}
        go.set()
        await client.reads(3)
        for name in SPECIALISTS:
            mine = [f for f in client.all if f["ai"] == name]
            assert [f["type"] for f in mine] == ["chunk"] * (len(mine) - 1) + ["read"]
            assert "".join(contents(mine[:-1])) == mine[-1]["content"] == "one two"


class LateStore(MemoryStore):
    """Tasks that read a member's chunks wait until `go` is set."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1_700_000_000_000)
        self.go = asyncio.Event()

    async def page(self, stream: str, after: Position, limit: int = 500) -> Sequence[Record]:
        task = asyncio.current_task()
        if task is not None and task.get_name().startswith("part "):
            await self.go.wait()
        return await super().page(stream, after, limit)


async def test_even_late_chunks_of_a_member_come_before_its_whole_answer(tmp_path: Path) -> None:
    store = LateStore()
    async with (
        served(tmp_path, store=store) as home,
        connected_socket(home, "group:reviewers", stream=1) as client,
    ):
        await client.write("hi")
        socket = await found_socket(home.hub.state, ME, "group:reviewers")
        await home.seen(socket.session_id, lambda payload: isinstance(payload, TurnCompleted))
        store.go.set()
        await client.reads(2)
        for name in ("apollo", "athena"):
            assert [f["type"] for f in client.all if f["ai"] == name] == ["chunk", "read"]


async def test_a_failed_member_is_reported_with_its_header_and_the_others_answer(tmp_path: Path) -> None:
    scripts = [[Text("fine"), Done()], [ProviderCut("it broke off")], [Text("fine"), Done()]]
    async with served(tmp_path, *scripts) as home, connected_socket(home, "team-chat-all") as client:
        await client.write("hi")
        for _ in range(3):
            await client.read()
        assert sorted(f["type"] for f in client.all) == ["error", "read", "read"]
        [failed] = [f for f in client.all if f["type"] == "error"]
        assert (failed["code"], failed["headers"]) == ("provider_cut", [f"team-chat-from-{failed['ai']}"])
        session = client.all[0]["session_id"]
        payloads = await home.seen(session, lambda payload: isinstance(payload, TurnCompleted))
        assert payloads[-1].text.count("[From ") == 2  # type: ignore[union-attr]


async def test_a_session_with_a_team_is_answered_over_rest(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = {"specialist_id": "team:reviewers"}
        session = (await home.ask("POST", "/api/v2/sessions", body)).json["id"]
        answer = (await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "hi"})).json
        parts = sorted(answer["response"].split("\n\n"))
        for part, name in zip(parts, ("Apollo", "Athena"), strict=True):
            said = rf"\[From {name}\]\n(--- \w{{16}} ---)\n{name.lower()} heard: hi\n\1"
            assert re.fullmatch(said, part), part
        alone = await home.ask("POST", "/api/v2/ai/team:reviewers/message", {"content": "hi"})
        assert alone.json["ai"] == "team:reviewers"
        assert (await home.ask("POST", "/api/v2/ai/team:no/message", {"content": "hi"})).status == 404


async def test_interrupting_a_team_interrupts_all_members(tmp_path: Path) -> None:
    held = [Text("Well, "), asyncio.Event()]
    async with served(tmp_path, held, held, held) as home, connected_socket(home, "team-chat-all") as client:
        await client.write("hi")
        listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
        session = listed[0]["session_id"]
        begun: list[Any] = []

        def all_began(payload: Any) -> bool:
            begun.extend([payload] if isinstance(payload, StepStarted) else [])
            return len(begun) == 3

        await home.seen(session, all_began)
        await home.ask("POST", f"/api/v2/sessions/{session}/interrupt")
        frame = await client.read()
        assert (frame["type"], frame["code"]) == ("error", "interrupted")
        for step in begun:
            await home.seen(step.session_id, lambda payload: payload.type == "turn.interrupted")


async def test_the_hub_peer_answers_its_commands(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connected_socket(home, "rhetor") as client:
        made = await created(home)
        words = ("help", "/Status", "peers", "teams", "sockets", "sessions", "what is love?")
        for word in words:
            await client.write(word)
        said = dict(zip(words, contents(await client.reads(len(words))), strict=True))
        assert said["help"].splitlines()[0] == "help  lists these commands"
        assert said["/Status"].startswith("running: 3 peers, 1 teams, ")
        assert "apollo  specialist, idle" in said["peers"]
        assert said["teams"] == "team:reviewers  apollo, athena"
        assert "rhetor  with the hub: readers: 1, unread: " in said["sockets"]
        assert f"{made['session_id']}  apollo" in said["sessions"]
        assert said["what is love?"].startswith("There is no command 'what is love?'.\nhelp")
        assert {(f["ai"], f["headers"][0]) for f in client.all} == {("rhetor", "team-chat-from-rhetor")}
        assert home.driver.heard == []


async def test_a_failed_turn_is_an_error_frame_and_the_next_one_is_answered(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("Well, "), ProviderCut("it broke off")]) as home:
        await created(home)
        async with connected_socket(home, "apollo-1") as client:
            await client.write("one")
            await client.write("two")
            failed, fine = await client.read(), await client.read()
            assert (failed["type"], failed["code"], failed["headers"]) == (
                "error",
                "provider_cut",
                ["team-chat-from-apollo-1"],
            )
            assert fine["content"] == "apollo heard: two"


HOSTILE = [
    "nonsense",
    "[" * 100_000,
    "[]",
    "7",
    '{"type":"read","content":"x"}',
    '{"content":"x"}',
    '{"type":"write"}',
    '{"type":"write","content":7}',
    '{"type":"write","content":"\\ud800"}',
    '{"type":"write","content":"a","from":"\\r\\n"}',
    '{"type":"write","content":"a","if_busy":"never"}',
    '{"type":"write","media_type":"text","bytes":3}',
    '{"type":"write","media_type":"a/b\\r\\nx: y","bytes":3}',
    '{"type":"write","media_type":"a/b","bytes":0}',
    '{"type":"write","media_type":"a/b","bytes":-1}',
    b"bytes that nothing announced",
]


@pytest.mark.parametrize("socket_id", ["apollo-1", "team-chat-all", "rhetor"])
async def test_an_invalid_frame_is_answered_with_an_error_and_the_tenth_closes(
    tmp_path: Path, socket_id: str
) -> None:
    async with served(tmp_path) as home:
        await created(home)
        for frames in (HOSTILE[:9], HOSTILE[7:]):
            async with connected_socket(home, socket_id) as client:
                for frame in frames:
                    await client.send(frame)
                    told = await client.read()
                    assert (told["type"], told["code"], told["retryable"]) == ("error", "malformed", False)
                await client.write("   ")  # empty: rejected by the hub
                assert (await client.read())["code"] == "malformed"
                await client.send("nonsense")
                assert await client.closed() == (4501, "too_many_invalid")
        head = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
        assert all(socket["head"] in (None, 1) for socket in head)
        assert home.driver.heard == []


async def test_a_rejected_message_is_reported_and_the_socket_stays_open(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("x"), asyncio.Event()], limits=Limits(message_bytes=1000)) as home:
        await created(home)
        async with connected_socket(home, "apollo-1") as client:
            await client.write("x" * 1001)
            assert (await client.read())["code"] == "too_large"
            await client.write("hold", command_id="k")
            accepted = await client.read()
            assert (accepted["type"], accepted["command_id"]) == ("accepted", "k")
            await client.write("hold", command_id="k")
            assert await client.read() == accepted
            await client.write("other", command_id="k")
            assert (await client.read())["code"] == "key_reused"
            await client.write("now", if_busy="refuse")
            assert (await client.read())["code"] == "peer_busy"
            await client.write("now", if_busy="interrupt")
            assert [(await client.read())["type"] for _ in range(2)] == ["error", "read"]


async def test_named_sockets_have_the_limits_of_every_api(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await created(home)
        home.node.rates = Rates(0.001, 3)
        async with calling_tcp(home, "/ws/socket/apollo-1") as caller:
            for _ in range(4):
                await caller.send({"type": "write", "content": " "})
            assert await caller.closed() == (4013, "rate_exceeded")
        async with connected_socket(home, "apollo-1") as client:
            with suppress(ConnectionClosed):
                await client.send("x" * (9 << 20))
            assert await client.closed() == (1009, "too_large")
        async with connected_socket(home, "apollo-1") as client:
            with suppress(ConnectionClosed):
                await client.send(b"x" * ((16 << 20) + 1))
            assert (await client.closed())[0] == 1009
        async with connected_socket(home, "apollo-1") as client:
            client.socket.transport.write(WireFrame(Opcode.TEXT, b'{"type":"\xc3\x28"}').serialize(mask=True))
            assert (await client.closed())[0] == 1007


async def test_a_socket_closes_at_shutdown_and_resumes_under_the_next_hub(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home, connected_socket(home, "team-chat-all") as client:
        await client.write("hi")
        last = (await client.reads(3))[-1]
        await home.hub.aclose()
        assert await client.closed() == (1012, "shutting_down")
    cursor = f"{last['epoch']}:{last['seq']}"
    async with (
        served(tmp_path, store=store) as home,
        connected_socket(home, "team-chat-all", cursor=cursor) as client,
    ):
        assert (await client.read())["outcome"] == "ok"
        await client.write("again")
        frames = await client.reads(3)
        assert (frames[0]["prev"], {f["content"] for f in frames}) == (
            last["seq"],
            {f"{name} heard: again" for name in SPECIALISTS},
        )


async def test_restoring_a_session_closes_its_socket_with_4010(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home)
        session = f"/api/v2/sessions/{made['session_id']}"
        async with connected_socket(home, "apollo-1") as client:
            await client.write("one")
            first = await client.read()
            at = f"{first['epoch']}:{first['seq']}"
            await client.write("two")
            await client.read()
            await until_free(home, made["session_id"])
            assert (await home.ask("POST", f"{session}/restore", {"at": at})).status == 200
            assert await client.closed() == (4010, "position_lost: epoch_changed")
        async with connected_socket(home, "apollo-1") as client:
            await client.write("three")
            assert [f["content"] for f in await client.reads(1)] == ["apollo heard: three"]


async def test_a_missing_or_foreign_socket_is_rejected_before_the_upgrade(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        theirs = await home.hub.execute(OTHER, OpenSocket("apollo"))
        for id in (theirs.id, "apollo-99", "nothing"):
            assert await refused(home, f"/ws/socket/{id}") == (404, "not_found")
        assert await refused(home, "/ws/socket/group:nobody") == (404, "unknown_team")
        assert await refused(home, "/ws/socket/rhetor?stream=maybe") == (400, "malformed")
        mine = await created(home)
        assert mine["socket_id"] == "apollo-2"
        listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
        assert [s["socket_id"] for s in listed] == ["team-chat-all", "rhetor", "group:reviewers", "apollo-2"]


async def test_a_closed_socket_reports_its_end_and_its_id_is_not_reused(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home)
        async with connected_socket(home, "apollo-1") as client:
            closed = await home.ask("DELETE", "/api/ai/socket/apollo-1")
            assert closed.json == {"socket_id": "apollo-1", "status": "closed"}
            assert await client.closed() == (1000, "")
            assert (client.all[-1]["type"], client.all[-1]["state"]) == ("closed", "stopped")
        assert (await home.ask("DELETE", "/api/ai/socket/apollo-1")).status == 404
        assert await refused(home, "/ws/socket/apollo-1") == (404, "not_found")
        assert (await created(home))["socket_id"] == "apollo-2"
        assert (await home.ask("DELETE", "/api/ai/socket/rhetor")).json["code"] == "unprocessable"
        assert len(await events_of(home, made["session_id"])) == 2


async def test_a_built_in_socket_opens_a_new_session_if_its_session_was_stopped(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with connected_socket(home, "rhetor") as client:
            await client.write("help")
            session = (await client.read())["session_id"]
            await home.hub.execute(Principal("me", local=True), StopSession(session))
            assert await client.closed() == (1000, "")
        async with connected_socket(home, "rhetor") as client:
            await client.write("help")
            assert (await client.read())["session_id"] != session


async def test_a_repeated_command_id_opens_one_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        one, two = await created(home, command_id="k"), await created(home, command_id="k")
        assert one == two
        answer = await home.ask("POST", "/api/ai/socket/create", {"ai_name": "athena", "command_id": "k"})
        assert (answer.status, answer.json["code"]) == (409, "key_reused")
        for name, code in (("nobody", "unknown_peer"), ("team:reviewers", "unprocessable")):
            answer = await home.ask("POST", "/api/ai/socket/create", {"ai_name": name})
            assert answer.json["code"] == code


async def test_sockets_created_at_once_have_different_ids(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home:
        made = await asyncio.gather(*(created(home) for _ in range(20)))
        assert sorted(int(one["socket_id"].split("-")[1]) for one in made) == list(range(1, 21))
        opened = await asyncio.gather(*(found_socket(home.hub.state, ME, "rhetor") for _ in range(20)))
        assert len({socket.session_id for socket in opened}) == 1
    await store.aclose()


async def test_the_list_has_readers_and_unread_messages_of_each_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await created(home)
        async with connected_socket(home, "apollo-1") as one, connected_socket(home, "apollo-1") as two:
            await one.write("hi")
            for client in (one, two):
                assert contents(await client.reads(1)) == ["apollo heard: hi"]
            await until_unread(home, "apollo-1", 0)
            *_, socket = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
            last = (await events_of(home, made["session_id"]))[-1]
            assert socket == {
                "socket_id": "apollo-1",
                "websocket_url": made["websocket_url"],
                "ai": "apollo",
                "session_id": made["session_id"],
                "created_at": socket["created_at"],
                "binary": False,
                "readers": 2,
                "waiting": 0,
                "head": last["seq"],
                "cursor": last["cursor"],
            }
