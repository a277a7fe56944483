"""Named sockets: written to, read in order, resumed, with the same log as every other API."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import pytest
from tests.rhetor.transports.calling import calling, calling_tcp
from tests.rhetor.transports.socket_client import connected_socket, created
from tests.rhetor.transports.websocket.named_frames import contents, events_of, refused, until_unread
from tests.served import served
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut
from rhetor.hub.core.limits import Limits
from rhetor.store.memory import MemoryStore
from rhetor.transports.server.rates import Rates

pytestmark = pytest.mark.anyio


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
