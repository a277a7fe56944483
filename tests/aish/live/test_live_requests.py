"""The Python client answers permission requests, runs tools, and uses sockets, bulk and plain requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

import aish
from aish import live
from rhetor.domain.command import KeepBlob
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Permission
from rhetor.domain.principal import Principal
from tests.aish.live.connected import connected, log
from tests.aish.relay import relayed
from tests.served import served

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
BASH = Permission("req_1", "Bash", {"command": "ls"}, OPTIONS)


async def test_permission_requests_are_reported_when_made_and_when_answered(tmp_path: Path) -> None:
    script = [BASH, asyncio.Event()]
    async with (
        served(tmp_path, script) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
        aish.connect(str(tmp_path), start=False) as other,
    ):
        watch = hub.watch_permissions()
        session = await other.session("apollo")
        await session.send("hi")
        asked = await anext(watch)
        assert (asked.pending, asked.request.tool, asked.request.peer) == (True, "Bash", "apollo")
        assert await other.permissions() == [asked.request]
        relay.cut()
        await other.answer_permission(asked.request, "allow")
        answered = await anext(watch)
        assert (answered.request, answered.pending) == (asked.request, False)
        with pytest.raises(live.Conflict):
            await session.answer_permission("req_1", "deny")


async def test_a_permission_change_has_the_option_and_who_chose_it(tmp_path: Path) -> None:
    async with connected(tmp_path, [BASH, asyncio.Event()]) as (home, hub):
        watch = hub.watch_permissions()
        session = await hub.session("apollo")
        await session.send("hi")
        request = (await anext(watch)).request
        await hub.answer_permission(request, "deny")
        assert await anext(watch) == live.PermissionChange(request, False, "deny", home.node.owner)


async def test_activity_is_reported_whenever_it_changes_and_after_a_lost_connection(tmp_path: Path) -> None:
    async with (
        served(tmp_path, [BASH, asyncio.Event()]) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
        aish.connect(str(tmp_path), start=False) as other,
    ):
        watch = hub.watch_activity("tty:7")
        assert await anext(watch) == live.Activity()
        turn = await other.send("apollo", "go")
        assert await until(watch, lambda now: now.permissions == 1) == live.Activity(1, 0, 1)
        for tray in ("keep", "prompt", "new"):
            await other.request("POST", f"/api/v2/inbox/tty:7/{tray}", {"text": "read me"})
        assert await until(watch, lambda now: now.unread > 1) == live.Activity(1, 2, 1)
        relay.cut()
        await other.request("DELETE", "/api/v2/inbox/tty:7/new")
        assert await anext(watch) is None
        assert await anext(watch) == live.Activity(1, 1, 1)
        await other.request("POST", f"/api/v2/sessions/{turn.session_id}/interrupt")
        assert await until(watch, lambda now: now.turns == 0) == live.Activity(0, 1, 0)
        with pytest.raises(live.UnknownPeer):
            await anext(hub.watch_activity("nobody"))


async def until(watch: live.ActivityWatch, is_there: Callable[[live.Activity], bool]) -> live.Activity:
    while (now := await asyncio.wait_for(anext(watch), 30)) is None or not is_there(now):
        pass
    return now


@pytest.mark.parametrize("code", ["shutting_down", "fence_lost", "commit_unresolved", "node_lost"])
async def test_a_message_is_sent_again_if_the_hub_stops_before_it_confirms_it(code: str) -> None:
    keys, problem = list[str](), {"code": code, "detail": "lost", "status": 503}

    async def answer(request: web.Request) -> web.Response:
        keys.append(request.headers["idempotency-key"])
        return web.json_response(problem if len(keys) == 1 else SENT, status=503 if len(keys) == 1 else 202)

    async with _answering(answer) as url, aish.connect(url=url, token="t") as hub:
        assert (await hub.send("apollo", "hi")).id == "t_1"
    assert (len(keys), len(set(keys))) == (2, 1)


@pytest.mark.parametrize("code", ["commit_unresolved", "node_lost"])
async def test_a_call_without_a_key_is_not_repeated_if_its_outcome_is_unknown(code: str) -> None:
    calls = list[str]()

    async def answer(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.json_response({"code": code, "detail": "lost", "status": 503}, status=503)

    async with _answering(answer) as url, aish.connect(url=url, token="t") as hub:
        with pytest.raises(live.Unavailable, match="lost"):
            await hub.request("POST", "/api/v2/sessions/s_1/interrupt")
    assert calls == ["/api/v2/sessions/s_1/interrupt"]


SENT = {"turn_id": "t_1", "session_id": "s_1", "ai": "apollo", "cursor": "e:1"}


@asynccontextmanager
async def _answering(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Serve HTTP in place of a hub; yield the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_client_runs_the_tools_of_its_session(tmp_path: Path) -> None:
    tool = {"name": "weather", "description": "", "parameters": {"type": "object"}}
    async with connected(tmp_path) as (home, hub):
        session = await hub.session("apollo", tools=[tool])
        row = await home.ask("GET", f"/api/v2/sessions/{session.id}")
        assert [t["name"] for t in row.json["tools"]] == ["weather"]
        with pytest.raises(live.NotFound):
            await session.tool_result("never", {"sunny": True})


async def test_text_and_binary_responses_are_returned_unchanged(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, hub):
        assert "rhetor_uptime_seconds" in await hub.request("GET", "/metrics")
        who = Principal.person(home.node.owner, local=True)
        session = await hub.session("team:all")
        await home.hub.execute(who, KeepBlob(session.id, "audio/wav", b"12345\xff"))
        (kept,) = [e for e in await log(hub, session.id) if e["type"] == "blob.kept"]
        assert await hub.request("GET", f"/api/v2/blobs/{kept['data']['blob_id']}") == b"12345\xff"


async def test_a_socket_is_opened_written_read_and_closed(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_home, hub):
        socket = await hub.socket("apollo", prompt="Be brief.")
        await socket.write("one")
        await socket.write("two")
        assert [(await socket.read()).content for _ in range(2)] == ["apollo heard: one", "apollo heard: two"]
        with pytest.raises(live.Invalid):
            await socket.write(" ")
        waiting = asyncio.create_task(socket.read())
        await socket.write("three")
        assert (await waiting).content == "apollo heard: three"
        await socket.close()
        with pytest.raises(live.SessionOver):
            await socket.read()
        everyone = await hub.socket("team-chat-all")
        await everyone.write("hi")
        assert {(await everyone.read()).ai for _ in range(3)} == {"apollo", "athena", "prometheus"}


async def test_a_socket_reads_each_message_once_although_its_connection_is_cut(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_home, hub):
        socket = await hub.socket("apollo")
        for n in range(5):
            await socket.write(str(n))
            assert (await socket.read()).content == f"apollo heard: {n}"
            assert socket._socket is not None
            await socket._socket.close()


async def test_operations_in_bulk_and_the_best_peer(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        first = {"id": "a", "ai": "apollo", "message": "x"}
        done = await hub.bulk([first, {"id": "b", "ai": "athena", "message": "y", "depends_on": ["a"]}])
        assert {id: result.status for id, result in done.items()} == {"a": "success", "b": "success"}
        assert done["a"].response == "apollo heard: x"
        with pytest.raises(live.Invalid):
            await hub.bulk([first, first])
        best = await hub.best("code-analysis")
        assert best is not None and best.id == "apollo"
        assert await hub.best("nothing") is None
