"""Sessions that are shared with another caller: what that may do there, on every API, and taking it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import ClientConnection, connect
from yarl import URL

from rhetor.domain.event import Cause, MessageAccepted, PermissionAnswered, PermissionOption
from rhetor.domain.output import Done, Permission, Text
from rhetor.domain.principal import APPROVE, READ, SEND
from rhetor.store.memory import MemoryStore
from tests.callers import caller
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import Answer, Served, served

pytestmark = pytest.mark.anyio


async def _opened(home: Served, **more: Any) -> str:
    made = await home.ask(
        "POST", "/api/v2/sessions", {"specialist_id": "apollo", "context_window": 4, **more}
    )
    assert made.status == 200, made.text
    id: str = made.json["id"]
    return id


async def _share(home: Served, session: str, *scopes: str, subject: str = "guest") -> Answer:
    body = {"subject": subject, "scopes": scopes or (READ,)}
    return await home.ask("POST", f"/api/v2/sessions/{session}/shares", body)


async def _unshare(home: Served, session: str) -> Answer:
    return await home.ask("DELETE", f"/api/v2/sessions/{session}/shares/guest")


async def _say(home: Served, session: str, content: str = "hi") -> Answer:
    return await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": content})


async def test_a_shared_session_is_in_the_list_of_the_other_with_its_owner(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        session, kept = await _opened(home), await _opened(home, name="mine")
        own = (await home.ask_tcp("POST", "/api/v2/sessions", guest, json={"specialist_id": "apollo"})).json
        shared = await _share(home, session, APPROVE)
        assert shared.json == {**shared.json, "subject": "guest", "scopes": [READ, APPROVE]}
        listed = (await home.ask_tcp("GET", "/api/v2/sessions", guest)).json["sessions"]
        assert {(each["id"], each["owner"]) for each in listed} == {(own["id"], "guest"), (session, "me")}
        shares = (await home.ask("GET", f"/api/v2/sessions/{session}/shares")).json["shares"]
        assert [(each["subject"], each["session_id"]) for each in shares] == [("guest", session)]
        named = await home.ask_tcp("GET", "/api/v2/sessions?name=mine", guest)
        assert (named.json, kept in str(listed)) == ({"sessions": []}, False)


async def test_the_scopes_of_a_share_and_those_of_the_credential_both_count(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        session = await _opened(home)
        said = {"message": "hi"}
        path = f"/api/v2/sessions/{session}"

        async def may_read_and_send(headers: dict[str, str]) -> tuple[int, int]:
            events = await home.ask_tcp("GET", f"{path}/events", headers)
            answer = await home.ask_tcp("POST", f"{path}/message", headers, json=said)
            return events.status, answer.status

        assert await may_read_and_send(guest) == (404, 404)
        await _share(home, session, READ)
        assert await may_read_and_send(guest) == (200, 403)
        refused = (await home.ask_tcp("POST", f"{path}/message", guest, json=said)).json
        assert (refused["scope"], refused["code"]) == (SEND, "forbidden")
        await _share(home, session, SEND)
        assert await may_read_and_send(guest) == (200, 200)
        assert await may_read_and_send(await caller(home, "guest", {READ})) == (200, 403)
        assert await may_read_and_send(await caller(home, "guest", {SEND})) == (403, 200)
        assert await may_read_and_send(await caller(home, "stranger")) == (404, 404)


async def test_what_only_the_owner_may_do_is_403_for_the_other(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        session = await _opened(home)
        await _share(home, session, SEND, APPROVE)
        for method, path, body in (
            ("DELETE", "", None),
            ("POST", "/stop", None),
            ("POST", "/pause", None),
            ("POST", "/save", {"name": "taken-over"}),
            ("POST", "/checkpoint", {}),
            ("POST", "/restore", {"at": "x"}),
            ("POST", "/fork", {}),
            ("POST", "/shares", {"subject": "friend", "scopes": ["read"]}),
            ("GET", "/shares", None),
            ("DELETE", "/shares/friend", None),
        ):
            answer = await home.ask_tcp(method, f"/api/v2/sessions/{session}{path}", guest, json=body)
            assert (path, answer.status, answer.json["code"]) == (path, 403, "forbidden")
        assert (await _say(home, session)).status == 200


async def test_a_caller_can_share_only_its_own_sessions_and_scopes(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        session = await _opened(home)
        for subject, scopes, expected in (
            ("me", ["read"], 422),
            ("agent:apollo", ["read"], 422),
            ("", ["read"], 422),
            ("guest", ["admin"], 422),
            ("guest", [], 422),
        ):
            answer = (
                await _share(home, session, *scopes, subject=subject)
                if scopes
                else await home.ask(
                    "POST", f"/api/v2/sessions/{session}/shares", {"subject": subject, "scopes": []}
                )
            )
            assert (subject, scopes, answer.status) == (subject, scopes, expected)
        path = f"/api/v2/sessions/{session}/shares"
        body = {"subject": "guest", "scopes": ["approve"]}
        sender = await caller(home, "me", {READ, SEND})
        lacking = await home.ask_tcp("POST", path, sender, json=body)
        assert (lacking.status, lacking.json["scope"]) == (403, APPROVE)
        stranger = await home.ask_tcp("POST", path, guest, json={**body, "subject": "guest"})
        assert stranger.status == 404
        assert (await _unshare(home, session)).status == 404


async def test_a_message_of_another_counts_for_its_sender_and_cannot_name_another_one(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        session = await _opened(home)
        await _share(home, session, SEND)
        said = {"message": "hi", "from": "me"}
        answer = await home.ask_tcp("POST", f"/api/v2/sessions/{session}/message", guest, json=said)
        assert answer.status == 200, answer.text
        (accepted,) = [p for p in await home.log(session) if isinstance(p, MessageAccepted)]
        assert accepted.cause == Cause(accepted.message_id, caller="guest")
        assert accepted.from_ == "guest"
        turn = await home.hub.state.store.get("turn", answer.json["turn_id"])
        assert turn is not None
        assert turn.owner == "me"
        recent = (await home.ask("GET", "/api/v2/history")).json["history"]
        assert [each["message"] for each in recent] == ["hi"]
        assert (await home.ask_tcp("GET", "/api/v2/history", guest)).json["history"] == []


@pytest.mark.parametrize(
    "subject", ["team:repo:org/name:ref:refs/heads/main", "https://id.example/anna", "%2F"]
)
async def test_a_share_is_taken_back_whatever_its_subject_is_called(subject: str, tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session = await _opened(home)
        assert (await _share(home, session, subject=subject)).status == 200
        path = f"/api/v2/sessions/{session}/shares"
        url = URL(f"http://localhost{path}/{quote(subject, safe='')}", encoded=True)
        async with home.local.delete(url) as removed:
            assert (removed.status, (await removed.json())["subject"]) == (200, subject)
        assert (await home.ask("GET", path)).json == {"shares": []}


async def test_shares_are_durable(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home:
        guest = await caller(home)
        session, other = await _opened(home), await _opened(home)
        await _share(home, session, READ)
        await _share(home, other, READ)
        assert (await _unshare(home, other)).status == 200
    async with served(tmp_path, store=store) as home:
        guest = await caller(home)
        for id, expected in ((session, 200), (other, 404)):
            assert (await home.ask_tcp("GET", f"/api/v2/sessions/{id}", guest)).status == expected


async def test_another_can_answer_a_permission_request_if_the_share_says_so(tmp_path: Path) -> None:
    yes = PermissionOption("yes", "Yes", "allow_once")
    is_answered = asyncio.Event()
    script = [Permission("r1", "bash", {"command": "ls"}, (yes,)), is_answered, Text("done"), Done()]
    async with served(tmp_path, script) as home:
        guest = await caller(home)
        session = await _opened(home)
        await _share(home, session, READ)
        turn = asyncio.create_task(_say(home, session))
        await home.seen(session, lambda payload: payload.type == "permission.asked")
        path, answer = f"/api/v2/sessions/{session}/permissions/r1", {"option_id": "yes"}
        assert (await home.ask_tcp("GET", "/api/v2/permissions", guest)).json["permissions"] == []
        refused = await home.ask_tcp("POST", path, guest, json=answer)
        assert (refused.status, refused.json["scope"]) == (403, APPROVE)
        stranger = await home.ask_tcp("POST", path, await caller(home, "stranger"), json=answer)
        assert stranger.status == 404
        await _share(home, session, APPROVE)
        [request] = (await home.ask_tcp("GET", "/api/v2/permissions", guest)).json["permissions"]
        assert (request["request_id"], request["session_id"]) == ("r1", session)
        lacking = await caller(home, "guest", {READ, SEND})
        assert (await home.ask_tcp("POST", path, lacking, json=answer)).status == 403
        async with connecting(home, **guest) as talker:
            assert "sid" in await talker.connect()
            given = await talker.request("permission", session_id=session, request_id="r1", option_id="yes")
            assert given["request_id"] == "r1", given
        is_answered.set()
        await turn
        (answered,) = [p for p in await home.log(session) if isinstance(p, PermissionAnswered)]
        assert answered.by == "guest"


@asynccontextmanager
async def _socket(home: Served, path: str, guest: dict[str, str]) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{home.port}{path}"
    async with connect(url, additional_headers=guest, proxy=None) as socket:
        yield socket


async def _call(socket: ClientConnection, method: str, **params: Any) -> Any:
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    while "id" not in (said := json.loads(await socket.recv())):
        pass
    return said.get("result") or said["error"]


async def _until(socket: ClientConnection, wanted: str) -> dict[str, Any]:
    while (said := json.loads(await socket.recv())).get("method") != wanted:
        pass
    params: dict[str, Any] = said["params"]
    return params


async def test_taking_a_share_back_ends_the_streams_that_are_open(tmp_path: Path) -> None:
    async with served(tmp_path, [asyncio.Event()]) as home, asyncio.timeout(30):
        guest = await caller(home)
        session = await _opened(home)
        await _share(home, session, SEND)
        stream = {**guest, "accept": "text/event-stream"}
        url = f"{home.node.url}/api/v2/sessions/{session}"
        said = {"message": "hi"}
        async with (
            home.remote.get(f"{url}/events", headers=stream) as events,
            home.remote.post(f"{url}/stream", json=said, headers=guest) as answer,
            _socket(home, "/ws", guest) as loop,
            _socket(home, "/ws", guest) as many,
            _socket(home, "/ws/ai/apollo", guest) as one,
            connecting(home, **guest) as talker,
        ):
            assert (events.status, answer.status) == (200, 200)
            whole = asyncio.create_task(
                home.ask_tcp("POST", f"/api/v2/sessions/{session}/message", guest, json=said)
            )
            assert (await _call(loop, "resumeSession", sessionId=session))["outcome"] == "ok"
            assert (await _call(many, "subscribe", subscription="s", stream=session))["outcome"] == "ok"
            assert (await _call(one, "subscribe", session_id=session))["outcome"] == "ok"
            await talker.connect()
            assert (await talker.request("subscribe", session_id=session))["outcome"] == "ok"
            await home.seen(session, lambda payload: payload.type == "turn.queued")
            assert (await _unshare(home, session)).status == 200

            for response in (events, answer):
                frame = json.loads((await response.text()).rpartition("event: error\ndata: ")[2])
                assert (frame["code"], frame["id"]) == ("not_found", session)
            assert (await whole).status == 404
            ended = await _until(loop, "SessionStatusNotification")
            while ended.get("reason") != "not_found":
                ended = await _until(loop, "SessionStatusNotification")
            assert (await _call(loop, "echo", message="still here")) == "still here"
            assert (await _until(many, "subscription.lost"))["subscription"] == "s"
            await one.wait_closed()
            assert one.close_code == 4003
            await talker.until(
                lambda name, body: name == f"claude-error:{session}" and body["code"] == "not_found"
            )
            assert (await _call(many, "subscribe", subscription="s", stream=session))["data"][
                "code"
            ] == "not_found"


async def test_in_a_shared_session_with_the_hub_itself_everybody_asks_for_themselves(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        secret = await _opened(home, name="secret")
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "hub:rhetor"})).json["id"]
        await _share(home, session, SEND)
        path, said = f"/api/v2/sessions/{session}/message", {"message": "sessions"}
        assert secret in (await home.ask("POST", path, said)).json["response"]
        answer = await home.ask_tcp("POST", path, guest, json=said)
        assert (answer.status, secret in answer.text) == (200, False)
        listed = (await home.ask_tcp("GET", "/api/v2/sessions", guest)).json["sessions"]
        assert [(each["id"], each["owner"]) for each in listed] == [(session, "me")]
