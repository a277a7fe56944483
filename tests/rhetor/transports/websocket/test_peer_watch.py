"""Peers that are watched on `/ws`: what they do now, as it changes, to each caller its own."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.callers import caller
from tests.rhetor.transports.calling import Caller, Frame, calling
from tests.served import Served, served, with_programs
from websockets.asyncio.client import connect

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text, ToolResult, ToolUse
from rhetor.hub.core.limits import Limits
from rhetor.transports.views import peers as views

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))


async def listed(home: Served) -> dict[str, Frame]:
    peers = (await home.ask("GET", "/api/v2/ai")).json["peers"]
    return {peer["id"]: peer for peer in peers}


class Board:
    """The peers as a client keeps them: what was listed first, with all changes since."""

    def __init__(self, socket: Caller) -> None:
        self._socket = socket
        self.peers: dict[str, Frame] = {}
        self._taken = 0

    async def begin(self) -> None:
        answer = await self._socket.result("watchPeers", subscription="p")
        assert list(answer) == ["peers"]
        self.peers = {peer["id"]: peer for peer in answer["peers"]}

    def take(self) -> None:
        told = [frame for frame in self._socket.told if frame["method"] == "peers"]
        for frame in told[self._taken :]:
            assert frame["params"].keys() == {"subscription", "changed", "removed"}
            assert frame["params"]["subscription"] == "p"
            self.peers |= {peer["id"]: peer for peer in frame["params"]["changed"]}
            for id in frame["params"]["removed"]:
                self.peers.pop(id, None)
        self._taken = len(told)

    async def until(self, matches: Any) -> None:
        self.take()
        while not matches(self.peers):
            await self._socket.read()
            self.take()


def doing(peers: dict[str, Frame], name: str = "apollo") -> list[tuple[str, str | None]]:
    return [(turn["state"], turn["doing"]) for turn in peers[name]["now"]]


async def send(home: Served, session: str, message: str = "hi") -> str:
    answer = await home.ask(
        "POST",
        f"/api/v2/sessions/{session}/message",
        {"message": message},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status == 202, answer.text
    return str(answer.json["turn_id"])


async def opened(home: Served, **more: Any) -> str:
    answer = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", **more})
    return str(answer.json["id"])


async def test_what_a_peer_does_is_notified_from_the_message_to_the_answer(tmp_path: Path) -> None:
    steps = [asyncio.Event() for _ in range(4)]
    script = [
        *(Text("hm", "reasoning"), steps[0]),
        *(ToolUse("c1", "Bash", {"command": "npm test"}, "agent"), steps[1]),
        *(ToolResult("c1", "ok"), Permission("r1", "Edit", {}, OPTIONS), steps[2]),
        *(Text("done"), steps[3], Done()),
    ]
    async with served(tmp_path, script, [Text("2"), Done()]) as home, calling(home, "/ws") as socket:
        board = Board(socket)
        await board.begin()
        assert board.peers == await listed(home)
        session = await opened(home, name="work")
        turn = await send(home, session)
        await board.until(lambda peers: doing(peers) == [("running", "thinks")])
        first = board.peers["apollo"]["now"][0]
        assert {name: first[name] for name in ("session_id", "session_name", "plan_id", "turn_id")} == {
            "session_id": session,
            "session_name": "work",
            "plan_id": None,
            "turn_id": turn,
        }
        assert (board.peers["apollo"]["status"], board.peers["apollo"]["evidence"]) == (
            "busy",
            "1 turn running",
        )
        await send(home, session, "next")
        thinks = ("running", "thinks")
        await board.until(lambda peers: doing(peers) == [thinks, ("queued", None)])
        assert board.peers == await listed(home)
        steps[0].set()
        await board.until(lambda peers: doing(peers)[0] == ("running", "calls Bash: npm test"))
        steps[1].set()
        await board.until(lambda peers: doing(peers)[0] == ("waiting", "waits for permission: Edit"))
        apollo = board.peers["apollo"]
        assert (apollo["status"], apollo["evidence"]) == ("blocked", "1 turn waits for an answer")
        assert board.peers == await listed(home)
        path = f"/api/v2/sessions/{session}/permissions/r1"
        assert (await home.ask("POST", path, {"option_id": "allow"})).status == 200
        await board.until(lambda peers: doing(peers)[0] == ("running", "works"))
        steps[2].set()
        await board.until(lambda peers: doing(peers)[0] == ("running", "answers"))
        steps[3].set()
        await board.until(lambda peers: not doing(peers) and peers["apollo"]["status"] == "idle")
        await board.until(lambda peers: peers["apollo"]["sessions"] == 1)
        assert board.peers == await listed(home)


async def test_peers_teams_terminals_projects_and_forwards_come_and_go(tmp_path: Path) -> None:
    async with (
        with_programs(limits=Limits(project_roots=(str(tmp_path),))) as home,
        calling(home, "/ws") as socket,
    ):
        board = Board(socket)
        await board.begin()
        await home.announce("box", "cat")
        await board.until(lambda peers: "box" in peers and peers["box"]["status"] == "idle")
        assert (await home.ask("PUT", "/api/v2/terminals/desk", {})).status == 200
        await board.until(lambda peers: "desk" in peers)
        assert (await home.ask("PUT", "/api/v2/forwards/apollo", {"to": "desk"})).status == 200
        await board.until(lambda peers: peers["apollo"]["forwards"] == ["desk"])
        group = {"name": "pair", "members": ["apollo", "athena"]}
        assert (await home.ask("POST", "/api/ai/socket/groups", group)).status < 300
        await board.until(lambda peers: "team:pair" in peers)
        (tmp_path / "site").mkdir()
        site = {"name": "site", "path": str(tmp_path / "site")}
        assert (await home.ask("POST", "/api/projects", site)).status < 300
        await board.until(lambda peers: "project:site" in peers)
        assert (
            await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "project_id": "site"})
        ).status < 300
        await board.until(lambda peers: peers["project:site"]["sessions"] == 1)
        assert board.peers == await listed(home)
        assert (await home.ask("DELETE", "/api/v2/terminals/desk")).status == 200
        assert (await home.ask("DELETE", "/api/ai/socket/groups/pair")).status == 200
        assert (await home.ask("DELETE", "/api/v2/programs/box?force=true")).status == 200
        await board.until(lambda peers: not {"desk", "team:pair", "box"} & peers.keys())
        assert board.peers == await listed(home)


async def test_a_step_of_a_plan_is_shown_with_its_plan(tmp_path: Path) -> None:
    go = asyncio.Event()
    async with served(tmp_path, [Text("a"), go, Done()]) as home, calling(home, "/ws") as socket:
        board = Board(socket)
        await board.begin()
        step = {"id": "a", "ai": "apollo", "message": "hi"}
        plan = (
            await home.ask("POST", "/api/v2/plans", {"steps": [step]}, headers={"prefer": "respond-async"})
        ).json["plan_id"]
        await board.until(lambda peers: doing(peers) == [("running", "answers")])
        (now,) = board.peers["apollo"]["now"]
        assert (now["session_id"], now["session_name"], now["plan_id"]) == (None, None, plan)
        go.set()
        await board.until(lambda peers: not doing(peers))


async def test_another_caller_sees_that_a_peer_is_busy_but_not_with_what(tmp_path: Path) -> None:
    go = asyncio.Event()
    secret = ToolUse("c1", "Bash", {"command": "canary"}, "agent")
    async with served(tmp_path, [secret, go, Done()]) as home:
        guest = await caller(home)
        url = f"ws://127.0.0.1:{home.port}/ws"
        async with connect(url, additional_headers=guest, proxy=None) as raw:
            board = Board(Caller(raw))
            await board.begin()
            await send(home, await opened(home, name="canary"))
            await board.until(lambda peers: peers["apollo"]["status"] == "busy")
            assert board.peers["apollo"]["now"] == []
            go.set()
            await board.until(lambda peers: peers["apollo"]["status"] == "idle")
            assert "canary" not in str(board._socket.all)


async def test_many_watchers_read_a_change_once_and_end_with_their_connections(
    tmp_path: Path, monkeypatch: Any
) -> None:
    shaped: list[str] = []
    real = views.shape

    async def counting(call: Any, peer: Any, own: Any = None) -> Any:
        shaped.append(peer.name)
        return await real(call, peer, own)

    monkeypatch.setattr(views, "shape", counting)
    go = asyncio.Event()
    async with served(tmp_path, [Text("a"), go, Done()]) as home, calling(home, "/ws") as socket:
        for number in range(150):
            await socket.result("watchPeers", subscription=str(number))
        await asyncio.sleep(0.5)  # the lists that were read at first
        before = len(shaped)
        await send(home, await opened(home))

        def answers(frame: Frame, number: int) -> bool:
            now = [turn["doing"] for peer in frame["params"]["changed"] for turn in peer["now"]]
            return frame["params"]["subscription"] == str(number) and now == ["answers"]

        for number in range(150):
            await socket.until(partial(answers, number=number))
        assert 1 <= len(shaped) - before <= 8
        go.set()
        boards = home.node.components["peer boards"]
        assert len(boards) == 1
        (board,) = boards.values()
    assert not board._watchers
