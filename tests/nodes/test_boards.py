"""What one node does, as clients of the other one see it: over REST, and as they watch it on `/ws`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import aiohttp
import pytest

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text
from tests.e2e.home import BIN
from tests.nodes.hubs import Node, running
from tests.nodes.leased import Leased, two_nodes
from tests.nodes.pairs import until
from tests.rhetor.transports.calling import Caller, Frame, calling
from tests.served import Served

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"),)


class Watched:
    """A list as a client keeps it: what was listed first, with all changes since."""

    def __init__(self, socket: Caller, method: str) -> None:
        self._socket = socket
        self._method = method
        self._taken = 0
        self.items: dict[str, Frame] = {}

    async def begin(self) -> None:
        answer = await self._socket.result(f"watch{self._method.capitalize()}", subscription=self._method)
        self.items = {item["id"]: item for item in answer[self._method]}

    async def until(self, matches: Callable[[dict[str, Frame]], bool]) -> None:
        self._take()
        while not matches(self.items):
            await self._socket.read()
            self._take()

    def _take(self) -> None:
        told = [frame["params"] for frame in self._socket.told if frame["method"] == self._method]
        for params in told[self._taken :]:
            self.items |= {item["id"]: item for item in params["changed"]}
            for id in params["removed"]:
                self.items.pop(id, None)
        self._taken = len(told)


@asynccontextmanager
async def watching(home: Served, method: str) -> AsyncIterator[Watched]:
    async with calling(home, "/ws") as socket:
        watched = Watched(socket, method)
        await watched.begin()
        yield watched


async def shown(home: Served, path: str, is_so: Callable[[Any], bool]) -> Any:
    """Ask again and again, until the answer is as wanted; return it."""
    found = None

    async def asked() -> bool:
        nonlocal found
        found = (await home.ask("GET", path)).json
        return is_so(found)

    await until(asked)
    return found


async def begun(home: Served, name: str = "work") -> str:
    """Begin a turn in a new session; return the session."""
    session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": name})).json
    answer = await home.ask(
        "POST",
        f"/api/v2/sessions/{session['id']}/message",
        {"message": "hi"},
        headers={"Prefer": "respond-async"},
    )
    assert answer.status == 202, answer.text
    return str(session["id"])


def doing(peers: dict[str, Frame]) -> list[tuple[str, str | None]]:
    return [(turn["state"], turn["doing"]) for turn in peers["apollo"]["now"]]


async def listed(home: Served, path: str, name: str) -> dict[str, Frame]:
    return {item["id"]: item for item in (await home.ask("GET", path)).json[name]}


async def test_a_turn_of_one_node_is_watched_at_the_other_from_its_beginning_to_its_end(
    postgres_url: str,
) -> None:
    steps = asyncio.Event(), asyncio.Event()
    script = [Text("hm"), steps[0], Permission("r1", "Edit", {}, OPTIONS), Text("ok"), steps[1], Done()]
    async with (
        two_nodes(postgres_url, script) as (one, two),
        watching(two.home, "peers") as peers,
        watching(two.home, "sessions") as sessions,
    ):
        session = await begun(one.home)
        await peers.until(lambda seen: doing(seen) == [("running", "answers")])
        assert peers.items["apollo"]["now"][0]["session_name"] == "work"
        assert peers.items["apollo"]["status"] == "busy"
        await sessions.until(lambda seen: session in seen and bool(seen[session]["turn"]))
        assert sessions.items[session]["title"] == "hi"
        health = await shown(two.home, "/api/v2/health", lambda found: found["turns"]["running"] == 1)
        assert health["turns"] == {"running": 1, "waiting": 0, "queued": 0}
        assert (await two.home.ask("GET", "/api/v2/status")).json["running"] == 1
        steps[0].set()
        await peers.until(lambda seen: doing(seen) == [("waiting", "waits for permission: Edit")])
        assert peers.items["apollo"]["status"] == "blocked"
        await sessions.until(lambda seen: seen[session]["state"] == "waiting")
        await shown(two.home, "/api/v2/health", lambda found: found["turns"]["waiting"] == 1)
        answer = await two.home.ask(
            "POST", f"/api/v2/sessions/{session}/permissions/r1", {"option_id": "allow"}
        )
        assert answer.status == 200, answer.text
        await peers.until(lambda seen: doing(seen) == [("running", "answers")])
        steps[1].set()
        await peers.until(lambda seen: not doing(seen) and seen["apollo"]["status"] == "idle")
        await sessions.until(
            lambda seen: seen[session]["turn"] is None and seen[session]["state"] == "active"
        )
        for home in (one.home, two.home):
            await shown(home, "/api/v2/health", lambda found: found["turns"]["running"] == 0)
            assert (await home.ask("GET", "/api/v2/status")).json["running"] == 0
        assert await listed(two.home, "/api/v2/sessions", "sessions") == sessions.items
        assert await listed(two.home, "/api/v2/ai", "peers") == peers.items


async def test_a_program_of_one_node_is_shown_at_the_other_until_it_has_ended(postgres_url: str) -> None:
    async with two_nodes(postgres_url) as (one, two), watching(two.home, "peers") as peers:
        await one.home.announce("box", "cat")
        await peers.until(lambda seen: "box" in seen and seen["box"]["status"] == "idle")
        status = await shown(two.home, "/api/v2/ai/box/status", lambda found: bool(found.get("pid")))
        own = await one.home.status("box")
        assert {key: status[key] for key in ("pid", "status", "session_id")} == {
            key: own[key] for key in ("pid", "status", "session_id")
        }
        await shown(two.home, "/api/v2/health", lambda found: found["programs"] == 1)
        assert "rhetor_programs_running 0" in (await two.home.ask("GET", "/metrics")).text
        assert (await two.home.say("box", "hello\n")).status == 200
        await one.home.hub.state.instances["box"].running.end(force=True)
        await peers.until(lambda seen: seen["box"]["status"] == "gone")
        assert (await two.home.ask("DELETE", "/api/v2/programs/box")).status == 200
        await peers.until(lambda seen: "box" not in seen)


async def test_a_shell_that_is_open_at_one_node_is_shown_as_open_at_the_other(postgres_url: str) -> None:
    async with two_nodes(postgres_url) as (one, two), watching(two.home, "peers") as peers:
        assert (await one.home.ask("PUT", "/api/v2/terminals/desk", {})).status == 200
        await peers.until(lambda seen: "desk" in seen and seen["desk"]["status"] == "gone")
        stream = one.home.hub.state.routing_table.terminals["desk"].stream
        with one.home.hub.state.presence.reader(stream):
            await peers.until(lambda seen: seen["desk"]["status"] == "idle")
            [desk] = (await two.home.ask("GET", "/api/v2/terminals")).json["terminals"]
            assert desk["attached"] == 1
        await peers.until(lambda seen: seen["desk"]["status"] == "gone")


async def test_what_a_lost_node_ran_is_not_shown_any_more(postgres_url: str) -> None:
    script = [Text("hm"), asyncio.Event(), Done()]
    async with (
        two_nodes(postgres_url, script) as (one, two),
        watching(two.home, "peers") as peers,
    ):
        await begun(one.home)
        await peers.until(lambda seen: len(doing(seen)) == 1)
        await die(one)
        await peers.until(lambda seen: not doing(seen) and seen["apollo"]["status"] == "idle")


async def die(node: Leased) -> None:
    await node.die()
    for runner in node.home.hub.state.runners.values():
        assert runner.task is not None
        runner.task.cancel()


async def test_the_shell_at_one_node_lists_explains_and_waits_for_a_program_of_another_one(
    postgres_url: str, tmp_path: Path
) -> None:
    async with running(tmp_path, postgres_url, 2) as nodes:
        one, two = nodes.nodes
        pid = await announced(one, "box", "cat")

        async def is_idle() -> bool:
            peers = json.loads(await aish(two, "list", "--json"))
            return ("box", "idle", pid) in [(each["name"], each["status"], each["pid"]) for each in peers]

        await until(is_idle)
        assert "idle" in await aish(two, "explain", "box")
        await aish(two, "wait", "box")
        await nodes.ask("DELETE", "/api/v2/programs/box", at=two)
        assert "box" not in await aish(one, "list")

        async def is_removed() -> bool:
            return "box" not in await aish(two, "list")

        await until(is_removed)


async def announced(node: Node, name: str, *argv: str) -> int:
    """Wrap a program at a node, and return its process id."""
    environment = {"PATH": os.environ["PATH"]}
    body = {"name": name, "kind": "stdio", "argv": argv, "cwd": "/", "env": environment}
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(node.socket)) as client,
        client.post("http://localhost/api/v2/programs", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["pid"])


async def aish(node: Node, *words: str) -> str:
    """Run the shell at a node, and return what it prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(node.folder), "RHETOR_HOME": str(node.folder)}
    process = await asyncio.create_subprocess_exec(
        BIN / "aish", *words, env=environment, stdout=PIPE, stderr=PIPE, stdin=DEVNULL
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode()
