"""Many streams on one connection of `/ws`, and permission requests as they come and go, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.calling import Caller, Frame, calling
from tests.served import Served, served

from rhetor.domain.budget import Budget
from rhetor.domain.event import PeerStatusChanged, PermissionOption, TurnCompleted
from rhetor.domain.output import Done, Permission, Text
from rhetor.store.base import Draft

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
BASH = Permission("req_1", "Bash", {"command": "ls"}, OPTIONS)


@asynccontextmanager
async def connected(folder: Path, *scripts: Any) -> AsyncIterator[tuple[Served, Caller]]:
    async with served(folder, *scripts) as home, calling(home, "/ws") as caller:
        yield home, caller


async def opened(home: Served, peer: str = "apollo") -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": peer})
    return str(answer.json["id"])


async def post_message(home: Served, session: str, message: str = "hi") -> None:
    answer = await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": message})
    assert answer.status == 200, answer.text


async def page(home: Served, session: str) -> list[Frame]:
    found: list[Frame] = (await home.ask("GET", f"/api/v2/sessions/{session}/events")).json["events"]
    return found


def events(caller: Caller, subscription: str) -> list[Frame]:
    """Return the events of a subscription, in the form of the log."""
    told = [f["params"] for f in caller.told if f["params"]["subscription"] == subscription]
    return [{name: value for name, value in event.items() if name != "subscription"} for event in told]


async def until_seq(caller: Caller, subscription: str, seq: int) -> None:
    await caller.until(lambda f: (f["params"]["subscription"], f["params"].get("seq")) == (subscription, seq))


async def test_the_hubs_stream_can_be_followed_before_its_first_event(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        answer = await caller.result("subscribe", stream="hub", subscription="h")
        assert (answer["outcome"], answer["head"], answer["cursor"]) == ("ok", 0, f"{answer['epoch']}:0")
        assert len(answer["epoch"]) == 32
        await home.hub.state.store.commit("hub", [Draft(PeerStatusChanged("box", "gone", "it ended"))])
        await until_seq(caller, "h", 1)


async def test_several_sessions_can_be_followed_on_one_connection(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        sessions = [await opened(home, peer) for peer in ("apollo", "athena", "apollo")]
        for number, session in enumerate(sessions):
            answer = await caller.result("subscribe", stream=session, subscription=str(number))
            assert (answer["outcome"], answer["head"]) == ("ok", 1)
            assert answer["cursor"] == f"{answer['epoch']}:0"
        await asyncio.gather(*(post_message(home, session) for session in sessions))
        for number, session in enumerate(sessions):
            log = await page(home, session)
            await until_seq(caller, str(number), log[-1]["seq"])
            assert events(caller, str(number)) == log


async def test_one_session_can_be_followed_twice_from_different_positions(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        session = await opened(home)
        await post_message(home, session)
        log = await page(home, session)
        await caller.result("subscribe", stream=session, subscription="all")
        await caller.result("subscribe", stream=session, subscription="rest", cursor=log[2]["cursor"])
        for name in ("all", "rest"):
            await until_seq(caller, name, log[-1]["seq"])
        assert (events(caller, "all"), events(caller, "rest")) == (log, log[3:])
        assert await caller.code("subscribe", stream=session, subscription="all") == -32602


async def test_no_event_arrives_after_unsubscribing(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        left, kept = await opened(home), await opened(home)
        for session, name in ((left, "left"), (kept, "kept")):
            await caller.result("subscribe", stream=session, subscription=name)
        assert await caller.result("unsubscribe", subscription="left") == {"subscription": "left"}
        await post_message(home, left)
        await post_message(home, kept)
        await until_seq(caller, "kept", (await page(home, kept))[-1]["seq"])
        assert len(events(caller, "left")) <= 1
        await caller.result("unsubscribe", subscription="never was")
        await caller.result("subscribe", stream=left, subscription="left")


async def test_subscribing_and_unsubscribing_in_one_batch_sends_no_event(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        session = await opened(home)
        params = {"stream": session, "subscription": "x"}
        calls = [
            {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params},
            {"jsonrpc": "2.0", "id": 2, "method": "unsubscribe", "params": {"subscription": "x"}},
        ]
        await caller.send(calls)
        assert [reply["id"] for reply in await caller.read()] == [1, 2]
        await caller.result("subscribe", stream=session, subscription="y")
        await until_seq(caller, "y", 1)
        assert events(caller, "x") == []


async def test_resubscribing_in_one_batch_sends_each_event_once(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        session = await opened(home)
        begin = {"method": "subscribe", "params": {"stream": session, "subscription": "x"}}
        leave = {"method": "unsubscribe", "params": {"subscription": "x"}}
        calls = enumerate((begin, leave, begin))
        await caller.send([{"jsonrpc": "2.0", "id": number, **call} for number, call in calls])
        assert [reply["id"] for reply in await caller.read()] == [0, 1, 2]
        await post_message(home, session)
        last = (await page(home, session))[-1]["seq"]
        await until_seq(caller, "x", last)
        await caller.result("subscribe", stream=session, subscription="y")
        await until_seq(caller, "y", last)
        told = [event["seq"] for event in events(caller, "x")]
        assert told == sorted(set(told))
        await caller.result("unsubscribe", subscription="x")
        await caller.result("subscribe", stream=session, subscription="x")


async def test_restoring_a_session_ends_only_its_own_subscription(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        restored, other = await opened(home), await opened(home)
        for session, name in ((restored, "restored"), (other, "other")):
            await caller.result("subscribe", stream=session, subscription=name)
        place = (await page(home, restored))[0]["cursor"]
        await post_message(home, restored)
        answer = await home.ask("POST", f"/api/v2/sessions/{restored}/restore", {"at": place})
        assert answer.status == 200, answer.text
        told = await caller.until(lambda frame: frame["method"] == "subscription.lost")
        assert told["params"]["subscription"] == "restored"
        assert (told["params"]["outcome"], told["params"]["recovered"]) == ("epoch_changed", False)
        await post_message(home, other)
        await until_seq(caller, "other", (await page(home, other))[-1]["seq"])


async def test_a_lost_position_is_returned_and_an_invalid_one_is_an_error(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, caller):
        session = await opened(home)
        ahead = (await page(home, session))[0]["cursor"][:-1] + "9"
        lost = await caller.result("subscribe", stream=session, subscription="a", cursor=ahead)
        assert (lost["outcome"], lost["recovered"]) == ("ahead", False)
        for params in ({"stream": "s_never"}, {"stream": session, "cursor": "nonsense"}):
            assert await caller.code("subscribe", subscription="a", **params) == -32602
        assert await caller.code("subscribe", stream=session) == -32602


async def test_permission_requests_and_their_answers_are_notified(tmp_path: Path) -> None:
    async with connected(tmp_path, [BASH, asyncio.Event(), Done()]) as (home, caller):
        assert await caller.result("watchPermissions", subscription="p") == {"permissions": []}
        session = await opened(home)
        sending = asyncio.create_task(post_message(home, session))
        asked = (await caller.until(lambda f: f["method"] == "permission.asked"))["params"]
        shown = {name: asked[name] for name in ("request_id", "session_id", "peer", "tool", "detail")}
        assert shown == {
            "request_id": "req_1",
            "session_id": session,
            "peer": "apollo",
            "tool": "Bash",
            "detail": {"command": "ls"},
        }
        async with calling(home, "/ws") as later:
            waiting = (await later.result("watchPermissions", subscription="p"))["permissions"]
            assert waiting == [{name: asked[name] for name in asked if name != "subscription"}]
        path = f"/api/v2/sessions/{session}/permissions/req_1"
        assert (await home.ask("POST", path, {"option_id": "allow"})).status == 200
        told = (await caller.until(lambda f: f["method"] == "permission.answered"))["params"]
        assert told == {**asked, "option_id": "allow", "by": home.node.owner}
        sending.cancel()


async def test_activity_is_counted_and_its_changes_are_notified(tmp_path: Path) -> None:
    go = asyncio.Event()
    script = [go, Text("ok"), Done()]
    async with connected(tmp_path, script, script, script) as (home, caller):
        assert await caller.code("watchActivity", subscription="x", place="nobody") == -32602
        none = {"turns": 0, "unread": 0, "permissions": 0}
        assert await caller.result("watchActivity", subscription="a", place="athena") == none
        note = {"text": "later"}
        assert (await home.ask("POST", "/api/v2/inbox/athena/new", note)).status == 200
        assert (await home.ask("POST", "/api/v2/inbox/apollo/new", note)).status == 200
        for _ in range(3):
            body, prefer = {"content": "hi"}, {"Prefer": "respond-async"}
            answer = await home.ask("POST", "/api/v2/ai/apollo/message", body, headers=prefer)
            assert answer.status == 202
        told = [await caller.until(lambda f: f["method"] == "activity" and f["params"]["turns"] == 3)]
        assert told[0]["params"] == {"subscription": "a", "turns": 3, "unread": 1, "permissions": 0}
        go.set()
        over = await caller.until(lambda f: f["method"] == "activity" and not f["params"]["turns"])
        assert over["params"] == {"subscription": "a", **none, "unread": 1}


async def test_a_turn_at_the_limit_of_a_budget_asks_like_any_permission_request(tmp_path: Path) -> None:
    budgets = [Budget("global", tokens_per_day=0)]
    async with served(tmp_path, budgets=budgets) as home, calling(home, "/ws") as caller:
        await caller.result("watchPermissions", subscription="p")
        session = await opened(home)
        sending = asyncio.create_task(post_message(home, session))
        asked = (await caller.until(lambda f: f["method"] == "permission.asked"))["params"]
        assert (asked["tool"], asked["detail"]["budget"]["name"], asked["expires_at"]) == (
            "budget",
            "global",
            None,
        )
        path = f"/api/v2/sessions/{session}/permissions/{asked['request_id']}"
        assert (await home.ask("POST", path, {"option_id": "continue"})).status == 200
        told = (await caller.until(lambda f: f["method"] == "permission.answered"))["params"]
        assert (told["option_id"], told["by"]) == ("continue", home.node.owner)
        await sending


async def test_a_request_that_ends_with_its_turn_is_notified_as_answered(tmp_path: Path) -> None:
    async with connected(tmp_path, [BASH, asyncio.Event()]) as (home, caller):
        await caller.result("watchPermissions", subscription="p")
        session = await opened(home)
        body = {"message": "hi"}
        answer = await home.ask(
            "POST", f"/api/v2/sessions/{session}/message", body, headers={"Prefer": "respond-async"}
        )
        assert answer.status == 202
        await caller.until(lambda f: f["method"] == "permission.asked")
        await home.ask("POST", f"/api/v2/sessions/{session}/interrupt")
        told = (await caller.until(lambda f: f["method"] == "permission.answered"))["params"]
        assert (told["request_id"], told["option_id"], told["by"]) == ("req_1", None, "the turn's end")


async def test_respond_async_returns_the_cursor_of_the_answer_at_once(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, [go, Text("late"), Done()]) as home:
        session = await opened(home)
        headers = {"Prefer": "respond-async", "Idempotency-Key": "k"}
        path = f"/api/v2/sessions/{session}/message"
        first = await home.ask("POST", path, {"message": "hi"}, headers=headers)
        again = await home.ask("POST", path, {"message": "hi"}, headers=headers)
        assert (first.status, first.headers["preference-applied"]) == (202, "respond-async")
        assert first.json == again.json
        assert (first.json["ai"], first.json["session_id"]) == ("apollo", session)
        go.set()
        payloads = await home.seen(session, lambda payload: isinstance(payload, TurnCompleted))
        assert sum(isinstance(payload, TurnCompleted) for payload in payloads) == 1
        head = await home.hub.state.store.head(session)
        assert head is not None and first.json["cursor"] == f"{head.epoch}:1"
