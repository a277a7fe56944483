"""`/api/projects`: real folders under allowed roots, whose settings apply to their sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.command import StartSession
from rhetor.domain.event import MessageForwarded, PermissionOption
from rhetor.domain.output import Done, Permission, Text
from rhetor.domain.principal import Principal
from rhetor.domain.tool_server import ToolServer
from rhetor.hub.core.limits import Limits
from rhetor.settings import ToolSettings
from rhetor.store.memory import MemoryStore
from tests.served import Served, served, with_programs

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def rooted(folder: Path, *scripts: Any, **options: Any) -> AsyncIterator[tuple[Served, Path]]:
    """A hub whose projects may be in `root`, which has the folder `site`."""
    root = folder / "root"
    (root / "site").mkdir(parents=True, exist_ok=True)
    (folder / "hub").mkdir(exist_ok=True)
    limits = Limits(project_roots=(str(root),))
    async with served(folder / "hub", *scripts, limits=limits, **options) as home:
        yield home, root


async def made(home: Served, path: Path, **settings: Any) -> Any:
    answer = await home.ask(
        "POST", "/api/projects", {"name": "site", "path": str(path), "settings": settings}
    )
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_project_has_its_settings_its_sessions_and_their_usage(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with rooted(tmp_path, store=store) as (home, root):
        project = await made(home, root / "site", default_peer="athena", permissions={"deny": ["Bash"]})
        assert (project["id"], project["path"]) == ("site", str((root / "site").resolve()))
        assert project["settings"] == {
            "default_peer": "athena",
            "model": None,
            "permissions": {"allow": [], "ask": [], "deny": ["Bash"]},
            "mcp_servers": [],
        }
        session = await home.ask("POST", "/api/sessions/create", {"project_id": "site", "prompt": "hi"})
        assert session.json["specialist_id"] == "athena"
        await home.seen(session.json["id"], lambda payload: payload.type == "turn.completed")
        shown = (await home.ask("GET", "/api/projects/site")).json
        assert [each["id"] for each in shown["sessions"]] == [session.json["id"]]
        assert (shown["usage"]["turns"], shown["usage"]["unpriced_turns"]) == (1, 1)
        assert shown["usage"]["cost"] is None
        changed = await home.ask("PUT", "/api/projects/site/settings", {"default_peer": "apollo"})
        assert changed.json["settings"]["permissions"]["deny"] == []
        session = await home.ask("POST", "/api/sessions/create", {"project_id": "site"})
        assert session.json["specialist_id"] == "apollo"
    async with rooted(tmp_path, store=store) as (home, _):
        listed = (await home.ask("GET", "/api/projects")).json["projects"]
        assert [(each["id"], each["settings"]["default_peer"]) for each in listed] == [("site", "apollo")]


async def test_the_usage_of_a_project_includes_its_old_sessions(tmp_path: Path) -> None:
    async with rooted(tmp_path) as (home, root):
        await made(home, root / "site")
        inside = {"specialist_id": "apollo", "project_id": "site", "prompt": "hi"}
        session = await home.ask("POST", "/api/sessions/create", inside)
        await home.seen(session.json["id"], lambda payload: payload.type == "turn.completed")
        for _ in range(1001):
            await home.hub.execute(Principal.person("me"), StartSession("apollo", project_id="site"))
        shown = (await home.ask("GET", "/api/projects/site")).json
        assert (len(shown["sessions"]), shown["usage"]["turns"]) == (100, 1)


async def test_only_a_real_folder_under_an_allowed_root_becomes_a_project(tmp_path: Path) -> None:
    async with rooted(tmp_path) as (home, root):
        (root / "file").write_text("x")
        (tmp_path / "outside").mkdir()
        (root / "way-out").symlink_to(tmp_path / "outside")
        for path in ("file", "missing", "way-out", "../outside"):
            body = {"name": "p", "path": f"{root}/{path}"}
            answer = await home.ask("POST", "/api/projects", body)
            assert (answer.status, answer.json["code"]) == (422, "unprocessable"), path
        assert (await home.ask("GET", "/api/projects")).json == {"projects": []}
        await made(home, root / "site")
        again = await home.ask("POST", "/api/projects", {"name": "site", "path": str(root / "site")})
        assert (again.status, again.json["code"]) == (409, "name_taken")


async def test_settings_are_validated(tmp_path: Path) -> None:
    async with rooted(tmp_path) as (home, root):
        await made(home, root / "site")
        for settings, code in (
            ({"default_peer": "nobody"}, "unknown_peer"),
            ({"model": "nobody/m"}, "unknown_model"),
            ({"mcp_servers": ["none"]}, "unprocessable"),
            ({"permissions": {"allow": ["Bash(rm *)"]}}, "unprocessable"),
            ({"colour": "red"}, "unprocessable"),
        ):
            answer = await home.ask("PUT", "/api/projects/site/settings", settings)
            assert answer.json["code"] == code, settings
        missing = await home.ask("PUT", "/api/projects/none/settings", {})
        assert (missing.status, missing.json["code"]) == (404, "not_found")


async def test_rules_and_servers_of_a_project_apply_to_its_sessions_only(tmp_path: Path) -> None:
    option = PermissionOption("no", "No", "reject_once")
    asks = [Permission("r1", "Bash", {}, (option,)), Text("ok"), Done()]
    waits = [asks[0], asyncio.Event(), Done()]
    async with rooted(tmp_path, asks, waits) as (home, root):
        home.hub.state.tool_servers.put(ToolServer("small", ("x",)))
        await made(home, root / "site", permissions={"deny": ["Bash"]}, mcp_servers=["small"])
        inside = {"specialist_id": "apollo", "project_id": "site", "prompt": "go"}
        session = (await home.ask("POST", "/api/sessions/create", inside)).json["id"]
        answered = await home.seen(session, lambda payload: payload.type == "permission.answered")
        assert getattr(answered[-1], "by", "") == "policy"
        row = await home.hub.state.store.get("session", session)
        assert row is not None and b'"mcp_servers":["small"]' in row.doc
        outside = {"specialist_id": "apollo", "prompt": "go"}
        session = (await home.ask("POST", "/api/sessions/create", outside)).json["id"]
        await home.seen(session, lambda payload: payload.type == "permission.asked")
        pending = (await home.ask("GET", "/api/v2/permissions")).json["permissions"]
        assert [request["session_id"] for request in pending] == [session]


async def test_the_answers_in_a_projects_sessions_are_forwarded(tmp_path: Path) -> None:
    async with rooted(tmp_path) as (home, root):
        await made(home, root / "site")
        for name in ("alice", "bob"):
            assert (await home.ask("PUT", f"/api/v2/terminals/{name}", {})).status == 200
        forward = await home.ask("POST", "/api/v2/forwards", {"from": "project:site", "to": "alice"})
        assert [forward.json[name] for name in ("from", "from_kind", "to", "kind")] == [
            "project:site",
            "project",
            "alice",
            "terminal",
        ]
        # the forward of a peer applies besides that of the project
        await home.ask("POST", "/api/v2/forwards", {"from": "athena", "to": "bob"})
        await home.say("apollo", "outside")
        for peer in ("apollo", "athena"):
            inside = {"specialist_id": peer, "project_id": "site", "prompt": "inside"}
            await home.ask("POST", "/api/sessions/create", inside)
            assert await _forwarded(home, "alice", f"{peer} heard: inside") == peer
        assert await _forwarded(home, "bob", "athena heard: inside") == "athena"
        missing = await home.ask("POST", "/api/v2/forwards", {"from": "project:none", "to": "alice"})
        assert (missing.status, missing.json["code"]) == (404, "not_found")
        stopped = await home.ask("DELETE", "/api/v2/forwards/project:site")
        assert (stopped.json["from"], stopped.json["to"]) == ("project:site", "alice")
        alice = home.hub.state.routing_table.terminals["alice"]
        forwarded = [p for p in await home.log(alice.stream) if isinstance(p, MessageForwarded)]
        assert [(p.from_, p.content) for p in forwarded] == [
            ("apollo", "apollo heard: inside"),
            ("athena", "athena heard: inside"),
        ]


async def _forwarded(home: Served, terminal: str, content: str) -> str:
    """Wait for a forwarded answer, and return the peer that it is from."""
    stream = home.hub.state.routing_table.terminals[terminal].stream
    seen = await home.seen(stream, lambda p: isinstance(p, MessageForwarded) and p.content == content)
    assert isinstance(seen[-1], MessageForwarded)
    return seen[-1].from_


async def test_projects_and_named_shells_are_listed_with_the_peers(tmp_path: Path) -> None:
    waits = [Text("a"), asyncio.Event(), Done()]
    async with rooted(tmp_path, waits) as (home, root):
        await made(home, root / "site", model="openai/gpt-x")
        await home.ask("PUT", "/api/v2/terminals/alice", {})
        await home.ask("POST", "/api/v2/forwards", {"from": "project:site", "to": "alice"})
        inside = {"specialist_id": "apollo", "project_id": "site", "prompt": "inside"}
        await home.ask("POST", "/api/sessions/create", inside)
        peers = {each["id"]: each for each in (await home.ask("GET", "/api/v2/ai")).json["peers"]}
        wanted = ("kind", "name", "status", "model", "sessions", "forwards", "websocket_supported")
        project, shell = peers["project:site"], peers["alice"]
        assert [project[name] for name in wanted] == [
            "project",
            "site",
            "busy",
            "openai/gpt-x",
            1,
            ["alice"],
            False,
        ]
        assert [shell[name] for name in wanted[:3]] == ["terminal", "alice", "gone"]
        assert (await home.ask("GET", "/api/v2/ai/project:site")).json == project
        assert (await home.ask("GET", "/api/v2/ai/alice")).json == shell
        assert (await home.ask("GET", "/api/v2/ai/project:none")).status == 404
        assert (await home.say("alice", "hi")).json["code"] == "unknown_peer"


async def test_a_program_runs_in_the_folder_of_its_project(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    tools = {
        "where": ToolSettings(
            driver="stdio", executable="sh", args=("-c", "while read x; do pwd; done"), cwd="caller"
        )
    }
    limits = Limits(project_roots=(str(tmp_path),))
    async with with_programs(tools=tools, limits=limits) as home:
        await made(home, tmp_path / "site", default_peer="where")
        session = (await home.ask("POST", "/api/sessions/create", {"project_id": "site"})).json
        answer = await home.ask(
            "POST", f"/api/v2/sessions/{session['id']}/message", {"message": "x", "execute": True}
        )
        assert answer.json["response"].strip() == str((tmp_path / "site").resolve())
