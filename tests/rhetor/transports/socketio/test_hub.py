"""The hub over Socket.IO: admission, subscriptions, messages, permissions, and what ends a session."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.budget import Budget
from rhetor.domain.event import PermissionOption, Position
from rhetor.domain.output import Done, Permission, Record, Text, ToolResult, ToolUse
from rhetor.domain.peer import Peer, PeerKind
from rhetor.transports.server.connections import Connections
from rhetor.transports.socketio import hub_endpoint
from rhetor.transports.socketio.connection import EngineConnection
from tests.rhetor.transports.socketio.engine_client import OnWebSocket, Polling, begins
from tests.rhetor.transports.socketio.hub_talker import Talker, connecting, talking
from tests.scripted import Script, ScriptedDriver
from tests.served import TOKEN, Served, served

pytestmark = pytest.mark.anyio
TRANSPORTS = ("polling", "websocket", "upgrade")
OPTIONS = (PermissionOption("yes", "Allow", "allow_once"), PermissionOption("no", "Deny", "reject_once"))


async def created(home: Served, peer: str = "apollo", **more: Any) -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": peer, **more})
    assert answer.status == 200, answer.text
    return str(answer.json["id"])


async def ended(talker: Talker) -> tuple[int | None, str]:
    assert isinstance(talker.engine, OnWebSocket)
    return await talker.engine.closed()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_follows_a_session_that_it_sends_to(tmp_path: Path, transport: str) -> None:
    async with served(tmp_path) as home, talking(home, transport) as talker:
        session = await created(home)
        answer = await talker.request("subscribe", session_id=session)
        assert (answer["outcome"], answer["recovered"], answer["session_id"]) == ("ok", True, session)
        sent = await talker.request("send", session_id=session, content="hi")
        assert (sent["ai"], sent["session_id"]) == ("apollo", session)
        events = await talker.completed()
        assert {name.partition(":")[2] for name, _ in events} == {session}
        kinds = [(name.partition(":")[0], body.get("type")) for name, body in events]
        assert [kind for kind in kinds if kind[0] == "claude-output"] == [
            ("claude-output", "system"),
            ("claude-output", "assistant"),
            ("claude-output", "result"),
        ]
        result = next(body for _, body in events if body.get("type") == "result")
        assert result["result"] == "apollo heard: hi"
        assert events[-1][1]["success"] is True
        assert {body["epoch"] for _, body in events} == {answer["epoch"]}


async def test_the_output_of_claude_code_is_its_own_lines(tmp_path: Path) -> None:
    lines = [
        {"type": "system", "subtype": "init", "session_id": "theirs", "tools": ["Bash"]},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "Hi ✓"}]}},
        {"type": "result", "subtype": "success", "result": "Hi ✓"},
    ]
    script: Script = [Record(lines[0]), Text("Hi ✓"), Record(lines[1]), Record(lines[2]), Done()]
    peer = Peer("claude-like", PeerKind.SPECIALIST, "claude")
    drivers = {"claude": ScriptedDriver(script)}
    async with served(tmp_path, drivers=drivers, also=[peer]) as home, talking(home) as talker:
        session = await created(home, "claude-like")
        await talker.request("subscribe", session_id=session, events=["claude-output", "claude-complete"])
        await talker.request("send", session_id=session, content="hi")
        events = await talker.completed()
        assert [_without_place(body) for name, body in events[:-1]] == lines


def _without_place(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("epoch", "seq", "prev", "at")}


async def test_a_client_needs_the_token_over_tcp_but_not_on_the_unix_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with connecting(home) as talker:
            missing = await talker.connect()
            assert (missing["data"]["code"], "auth: {token}" in missing["message"]) == (
                "unauthenticated",
                True,
            )
            wrong = await talker.connect({"token": "wrong"})
            assert (wrong["data"]["code"], wrong["data"]["status"]) == ("unauthenticated", 401)
            assert "sid" in await talker.connect({"token": TOKEN})
        async with connecting(home, tcp=False) as talker:
            assert "sid" in await talker.connect()
        async with connecting(home, authorization=f"Bearer {TOKEN}") as talker:
            assert "sid" in await talker.connect({})


async def test_the_handshake_checks_the_origin_and_the_host(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        query = "/socket.io/?EIO=4&transport=polling"
        assert (await home.ask_tcp("GET", query)).status == 200
        assert (await home.ask_tcp("GET", query, {"origin": "http://evil.example"})).status == 403
        assert (await home.ask_tcp("GET", query, {"host": "evil.example"})).status == 421
        assert (await home.ask_tcp("GET", query, {"authorization": "Bearer wrong"})).status == 401


async def test_a_client_without_a_valid_connect_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_endpoint, "CONNECT_SECONDS", 0.2)
    async with served(tmp_path) as home, connecting(home) as talker, connecting(home, "polling") as polling:
        assert "message" in await talker.connect({"token": "wrong"})
        assert await ended(talker) == (4500, "unauthenticated")
        assert isinstance(polling.engine, Polling)
        assert (await polling.engine.get())[0] in (200, 400)
        assert (await polling.engine.get())[0] == 400


async def test_wrong_tokens_are_limited(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connecting(home) as talker:
        codes = [(await talker.connect({"token": "wrong"}))["data"]["code"] for _ in range(7)]
        assert codes[0] == "unauthenticated"
        assert codes[-1] == "too_many_attempts"
        assert "sid" in await talker.connect({"token": TOKEN})


async def test_other_namespaces_are_rejected(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connecting(home) as talker:
        refused = '44/custom,{"message":"Invalid namespace"}'
        await talker.engine.send("40/custom,")
        assert await talker.engine.receive() == refused
        assert "sid" in await talker.connect({"token": TOKEN})
        await talker.engine.send("40/custom,")
        assert await talker.engine.receive() == refused


async def test_a_caller_has_a_limited_number_of_connections(tmp_path: Path) -> None:
    async with (
        served(tmp_path, connections=Connections(100, 1)) as home,
        talking(home),
        connecting(home) as second,
    ):
        refused = await second.connect({"token": TOKEN})
        assert refused["data"]["code"] == "too_many_connections"


async def test_an_error_is_the_value_of_the_acknowledgement(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        session = await created(home)
        unknown = await talker.request("subscribe", session_id="s_unknown")
        assert (unknown["code"], unknown["status"]) == ("not_found", 404)
        filtered = await talker.request(
            "subscribe", session_id=session, events=["tool-execution", "nonsense"]
        )
        assert (filtered["code"], filtered["status"]) == ("unprocessable", 422)
        assert "nonsense" in filtered["detail"]
        cursor = await talker.request("subscribe", session_id=session, cursor="x")
        assert (cursor["code"], cursor["status"]) == ("malformed_cursor", 400)
        assert (await talker.request("send", session_id=session))["status"] == 422
        assert (await talker.request("dance"))["code"] == "malformed"


async def test_an_error_of_a_request_without_acknowledgement_is_sent_as_an_event(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        await talker.engine.send('42["send",{"session_id":"s_unknown","content":"hi"}]', '42["dance"]')
        name, error = await talker.until(lambda name, _: name.startswith("claude-error"))
        assert (name, error["code"], error["retryable"]) == ("claude-error:s_unknown", "not_found", False)
        await talker.until(lambda name, body: (name, body["code"]) == ("claude-error", "malformed"))


async def test_ten_unknown_events_close_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        await talker.engine.send(*['42["dance"]'] * 10)
        assert await ended(talker) == (4501, "too_many_invalid")


async def test_all_clients_share_one_limit_for_messages(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker, connecting(home, "polling") as polling:
        home.node.held.limit = 100_000
        assert isinstance(polling.engine, Polling)
        assert (await polling.engine.post("4" + "x" * 200_000))[0] == 503
        await talker.engine.send("4" + "x" * 200_000)
        assert await ended(talker) == (4013, "too_many_bytes")


async def test_a_permission_is_answered_once(tmp_path: Path) -> None:
    answered = asyncio.Event()
    script = [
        ToolUse("c_1", "Bash", {"command": "ls"}, "agent"),
        Permission("r_1", "Bash", {"tool_use_id": "c_1"}, OPTIONS),
        answered,
        ToolResult("c_1", "no", True),
        Text("fine"),
        Done(),
    ]
    async with served(tmp_path, script) as home, talking(home) as talker:
        session = await created(home)
        await talker.request("subscribe", session_id=session)
        await talker.request("send", session_id=session, content="hi")
        _, waiting = await talker.until(lambda _, body: body.get("state") == "waiting")
        request = {"session_id": session, "request_id": waiting["permission"]["request_id"]}
        assert (await talker.request("permission", **request))["status"] == 422
        assert (await talker.request("permission", **request, option_id="maybe"))["status"] == 422
        assert (await talker.request("permission", **request, option_id="no"))["request_id"] == "r_1"
        assert (await talker.request("permission", **request, option_id="yes"))["status"] == 409
        answered.set()
        events = await talker.completed()
        tools = [body["status"] for name, body in events if name == f"tool-execution:{session}"]
        assert tools == ["running", "denied", "denied"]


async def test_a_client_that_reconnects_with_its_cursors_gets_missed_events(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await created(home)
        async with talking(home) as talker:
            await talker.request("subscribe", session_id=session)
            await talker.request("send", session_id=session, content="one")
            first = list(await talker.completed())
            talker.engine.cut()
        cursor = f"{first[-1][1]['epoch']}:{first[-1][1]['seq']}"
        await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "two"})
        async with connecting(home) as talker:
            answer = await talker.connect({"token": TOKEN, "cursors": {session: cursor, "s_unknown": cursor}})
            assert answer["resumed"][session]["outcome"] == "ok"
            assert answer["resumed"]["s_unknown"]["code"] == "not_found"
            second = await talker.completed()
        assert [body["result"] for _, body in second if body.get("type") == "result"] == ["apollo heard: two"]
        assert second[0][1]["prev"] == first[-1][1]["seq"]
        async with talking(home, "polling") as talker:
            await talker.request("subscribe", session_id=session)
            assert _numbers(await talker.completed(2)) == _numbers([*first, *second])


def _numbers(events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, int]]:
    return [(name, body["seq"]) for name, body in events if body.get("type") != "assistant"]


async def test_a_position_that_is_lost_is_reported(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await created(home)
        async with talking(home) as talker:
            changed = await talker.request("subscribe", session_id=session, cursor=f"{'0' * 32}:1")
            assert (changed["outcome"], changed["recovered"]) == ("epoch_changed", False)
            head = await home.hub.state.store.head(session)
            assert head is not None
            ahead = await talker.request("subscribe", session_id=session, cursor=f"{head.epoch}:99")
            assert ahead["outcome"] == "ahead"
        async with connecting(home) as talker:
            answer = await talker.connect({"token": TOKEN, "cursors": {session: f"{'0' * 32}:1"}})
            assert answer["resumed"][session]["outcome"] == "epoch_changed"


async def test_a_subscription_whose_session_is_restored_ends_with_an_error(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        session = await created(home)
        cursor = (await home.ask("GET", f"/api/v2/sessions/{session}")).json["cursor"]
        await talker.request("subscribe", session_id=session)
        await talker.request("send", session_id=session, content="hi")
        await talker.completed()
        assert (await home.ask("POST", f"/api/v2/sessions/{session}/restore", {"at": cursor})).status == 200
        name, lost = await talker.until(lambda name, _: name.startswith("claude-error:"))
        assert (name, lost["code"], lost["outcome"]) == (
            f"claude-error:{session}",
            "position_lost",
            "epoch_changed",
        )


async def test_no_event_follows_the_end_of_a_subscription(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        session, other = await created(home), await created(home)
        for each in (session, other):
            await talker.request("subscribe", session_id=each, events=["claude-complete"])
        await talker.request("unsubscribe", session_id=session)
        for each in (session, other):
            await talker.request("send", session_id=each, content="hi")
        assert [name for name, _ in await talker.completed()] == [f"claude-complete:{other}"]


async def test_a_second_subscription_of_a_session_replaces_the_first(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        session = await created(home)
        await talker.request("subscribe", session_id=session)
        await talker.request("subscribe", session_id=session, events=["claude-complete"])
        await talker.request("send", session_id=session, content="hi")
        events = [event for event in await talker.completed() if not event[0].startswith("session-status")]
        assert [name for name, _ in events] == [f"claude-complete:{session}"]


async def test_a_session_can_be_followed_by_name(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        session = await created(home, name="work")
        answer = await talker.request("subscribe", session_id="work", events=["claude-complete"])
        assert answer["session_id"] == session
        await talker.request("send", session_id="work", content="hi")
        assert [name for name, _ in await talker.completed()] == ["claude-complete:work"]


async def test_a_raw_event_is_the_event_of_the_log(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        session = await created(home)
        await talker.request("subscribe", session_id=session, events=["event"])
        await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "hi"})
        await talker.until(lambda _, body: body["type"] == "turn.completed")
        log = (await home.ask("GET", f"/api/v2/sessions/{session}/events")).json["events"]
        assert [body for name, body in talker.events if body["type"] != "output.delta"] == [
            event for event in log if event["type"] not in ("output.delta", "folded")
        ]
        assert {name for name, _ in talker.events} == {f"event:{session}"}


async def test_a_long_replay_is_polled_in_small_payloads(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await created(home)
        for n in range(12):
            await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": str(n)})
        async with talking(home, "polling") as talker:
            await talker.request("subscribe", session_id=session)
            await talker.completed(12)
            assert isinstance(talker.engine, Polling)
            assert max(map(len, talker.engine.payloads)) == 16


async def test_a_client_that_upgrades_while_it_follows_misses_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home, "polling") as talker:
        first = talker.engine
        assert isinstance(first, Polling)
        session = await created(home)
        await talker.request("subscribe", session_id=session, events=["event"])
        for n in range(5):
            await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": str(n)})
        async with first.place.websocket(first.opened["sid"]) as raw:
            talker.engine = OnWebSocket(raw)
            await talker.engine.send("2probe")
            assert await talker.engine.read() == "3probe"
            for packet in await first.rest():
                talker.take(packet)
            await talker.engine.send("5")
            for n in range(5):
                await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": str(n)})
            while sum(body["type"] == "turn.completed" for _, body in talker.events) < 10:
                talker.take(str(await talker.engine.receive()))
            for (_, before), (_, after) in zip(talker.events, talker.events[1:], strict=False):
                assert after["prev"] == before["seq"]


async def test_a_replaced_token_ends_the_session(tmp_path: Path) -> None:
    async with served(tmp_path) as home, talking(home) as talker:
        (tmp_path / "token").write_text("e" * 64)
        assert await ended(talker) == (4500, "unauthenticated")


async def test_stopping_the_hub_ends_sessions_and_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as home, talking(home) as talker, connecting(home, "polling") as other:
        session = await created(home)
        await talker.request("subscribe", session_id=session)
        assert isinstance(other.engine, Polling)
        polled = begins(monkeypatch, EngineConnection, "poll")
        waiting = asyncio.create_task(other.engine.get())
        await polled.wait()
        begun = asyncio.get_running_loop().time()
        home.server.should_exit = True
        assert (await ended(talker))[0] == 1012
        assert await waiting == (200, "1")
        assert asyncio.get_running_loop().time() - begun < 2.5


async def test_no_event_overtakes_the_answer_to_a_connect(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await created(home)
        await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "hi"})
        head = await home.hub.state.store.head(session)
        assert head is not None
        async with talking(home, cursors={session: str(Position(head.epoch, 0))}) as talker:
            assert (await talker.completed())[0][1]["prev"] == 0


async def test_a_session_of_the_unix_socket_is_not_usable_over_tcp(tmp_path: Path) -> None:
    async with served(tmp_path) as home, connecting(home, "polling", tcp=False) as talker:
        query = f"/socket.io/?EIO=4&transport=polling&sid={talker.engine.opened['sid']}"
        assert (await home.ask_tcp("POST", query, data="40")).status == 403
        assert "sid" in await talker.connect()


@pytest.mark.parametrize(("option", "outcome"), [("continue", True), ("stop", False)])
async def test_a_turn_at_the_limit_of_a_budget_asks_like_any_permission_request(
    tmp_path: Path, option: str, outcome: bool
) -> None:
    budgets = [Budget("global", tokens_per_day=0)]
    async with served(tmp_path, [Text("fine"), Done()], budgets=budgets) as home, talking(home) as talker:
        session = await created(home)
        await talker.request("subscribe", session_id=session)
        await talker.request("send", session_id=session, content="hi")
        _, waiting = await talker.until(lambda _, body: body.get("state") == "waiting")
        assert waiting["permission"]["detail"]["budget"]["name"] == "global"
        request = {"session_id": session, "request_id": waiting["permission"]["request_id"]}
        await talker.request("permission", **request, option_id=option)
        events = await talker.completed()
        assert [body["success"] for name, body in events if name == f"claude-complete:{session}"] == [outcome]
        assert [name for name, _ in events if name.startswith("tool-execution")] == []
