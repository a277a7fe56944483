"""Named sockets: how they are opened, listed and closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.rhetor.transports.socket_client import connected_socket, created
from tests.rhetor.transports.websocket.named_frames import (
    ME,
    OTHER,
    SPECIALISTS,
    contents,
    events_of,
    refused,
    until_unread,
)
from tests.served import Served, served

from rhetor.domain.command import OpenSocket, StopSession
from rhetor.domain.principal import Principal
from rhetor.hub.sessions.sockets import found_socket
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def until_free(home: Served, session_id: str) -> None:
    """Wait until no turn runs or is queued; an answer arrives shortly before that."""
    while True:
        heard = home.hub.state.notifier.next()
        if session_id not in home.hub.state.runners:
            return
        await heard.wait()


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
        for standing in ("rhetor", "team-chat-all"):
            kept = await home.ask("DELETE", f"/api/ai/socket/{standing}")
            assert (kept.status, kept.json["detail"]) == (409, f"socket {standing} is always open")
        assert len(await events_of(home, made["session_id"])) == 2


async def test_a_built_in_socket_opens_a_new_session_if_its_session_was_stopped(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with connected_socket(home, "rhetor") as client:
            await client.write("help")
            session = (await client.read())["session_id"]
            await home.hub.execute(Principal.person("me", local=True), StopSession(session))
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
