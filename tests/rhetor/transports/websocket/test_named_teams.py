"""Named sockets of teams and of the hub itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.transports.socket_client import connected_socket, created
from tests.rhetor.transports.websocket.named_frames import ME, SPECIALISTS, contents
from tests.served import served

from rhetor.domain.event import Position, StepStarted, TurnCompleted
from rhetor.domain.output import Done, Text
from rhetor.errors import ProviderCut
from rhetor.hub.sessions.sockets import found_socket
from rhetor.store.base import Record
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


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
