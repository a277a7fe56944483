"""Groups: teams that are created while the hub runs, and work like configured ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.command import ChangeTeam, DropTeam, MakeTeam
from rhetor.domain.principal import AGENT, Principal
from rhetor.errors import Forbidden
from rhetor.store.memory import MemoryStore
from tests.rhetor.transports.socket_client import connected_socket
from tests.served import Answer, Served, served, with_programs

pytestmark = pytest.mark.anyio
GROUPS = "/api/ai/socket/groups"


async def made(home: Served, name: str, *members: str, **more: Any) -> Answer:
    return await home.ask("POST", GROUPS, {"name": name, "members": list(members), **more})


async def answering_peers(home: Served, team: str) -> set[str]:
    """Return the peers that answer a bulk request to the team."""
    body = {"operations": [{"id": "one", "ai": f"team:{team}", "message": "hi"}]}
    results = (await home.ask("POST", "/api/v2/bulk", body)).json["results"]
    return {result["ai"] for result in results.values()}


async def test_a_message_to_a_group_reaches_only_its_members(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answer = await made(home, "poets", "prometheus", "apollo-ai", "apollo")
        assert answer.json == {
            "name": "poets",
            "members": ["prometheus", "apollo"],
            "origin": "made",
            "socket_id": "group:poets",
            "websocket_url": f"ws://127.0.0.1:{home.port}/ws/socket/group:poets",
        }
        async with connected_socket(home, "group:poets") as client:
            await client.write("hi")
            frames = await client.reads(2)
            assert {f["headers"][0] for f in frames} == {
                "team-chat-from-prometheus",
                "team-chat-from-apollo",
            }
            assert sorted(home.driver.heard) == [("apollo", "hi"), ("prometheus", "hi")]


async def test_a_group_cannot_have_the_name_of_a_peer(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answer = await made(home, "athena", "apollo")
        assert (answer.status, answer.json["kind"]) == (409, "peer")
        assert answer.json["detail"] == "a peer called 'athena' already exists"


async def test_a_group_works_as_a_team_and_survives_a_restart(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home:
        await made(home, "poets", "prometheus", "apollo")
        assert await answering_peers(home, "poets") == {"prometheus", "apollo"}
    async with served(tmp_path, store=store) as home:
        assert await answering_peers(home, "poets") == {"prometheus", "apollo"}
        line = {"line": 'team:poets << "hi"'}
        answer = await home.ask("POST", "/api/v2/plans", line)
        assert (answer.status, answer.text.count('"type":"step.done"')) == (200, 2)
        changed = await home.ask("PUT", f"{GROUPS}/poets", {"members": ["athena"]})
        assert changed.json["members"] == ["athena"]
        assert await answering_peers(home, "poets") == {"athena"}
    async with served(tmp_path, store=store) as home:
        assert (await home.ask("GET", f"{GROUPS}/poets")).json["members"] == ["athena"]
        deleted = await home.ask("DELETE", f"{GROUPS}/poets")
        assert deleted.json == {"name": "poets", "status": "deleted"}
        assert (await home.ask("GET", f"{GROUPS}/poets")).json["code"] == "unknown_team"
    async with served(tmp_path, store=store) as home:
        groups = (await home.ask("GET", GROUPS)).json["groups"]
        assert [(g["name"], g["members"], g["origin"]) for g in groups] == [
            ("reviewers", ["apollo", "athena"], "configured")
        ]


async def test_deleting_a_group_closes_its_sockets_and_ends_its_session(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        await made(home, "poets", "apollo")
        async with connected_socket(home, "group:poets") as client:
            await client.write("hi")
            session = (await client.read())["session_id"]
            await home.ask("DELETE", f"{GROUPS}/poets")
            assert await client.closed() == (1000, "")
        await made(home, "poets", "athena")
        async with connected_socket(home, "group:poets") as client:
            await client.write("hi")
            frame = await client.read()
            assert (frame["content"], frame["session_id"] != session) == ("athena heard: hi", True)


@pytest.mark.parametrize(
    ("name", "members", "status", "code"),
    [
        ("apollo", ["athena"], 409, "name_taken"),
        ("apollo-ci", ["athena"], 409, "name_taken"),
        ("all", ["athena"], 409, "name_taken"),
        ("reviewers", ["athena"], 409, "name_taken"),
        ("poets", ["athena", "nobody"], 422, "unprocessable"),
        ("poets", ["team:reviewers"], 422, "unprocessable"),
        ("poets", ["hub:rhetor"], 422, "unprocessable"),
        ("poets", [], 422, "unprocessable"),
        ("no name", ["athena"], 422, "unprocessable"),
        ("x" * 65, ["athena"], 422, "unprocessable"),
    ],
)
async def test_an_invalid_group_is_rejected_and_not_created(
    tmp_path: Path, name: str, members: list[str], status: int, code: str
) -> None:
    async with served(tmp_path) as home:
        before = (await home.ask("GET", GROUPS)).json
        answer = await made(home, name, *members)
        assert (answer.status, answer.json["code"]) == (status, code)
        assert (await home.ask("GET", GROUPS)).json == before


async def test_a_configured_team_cannot_be_changed_or_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for name in ("reviewers", "all"):
            for method, body in (("PUT", {"members": ["athena"]}), ("DELETE", None)):
                answer = await home.ask(method, f"{GROUPS}/{name}", body)
                assert (answer.status, answer.json["code"]) == (409, "team_configured")
        assert (await home.ask("PUT", f"{GROUPS}/poets", {"members": ["athena"]})).status == 404
        assert (await home.ask("DELETE", f"{GROUPS}/poets")).json["code"] == "unknown_team"


async def test_a_configured_name_takes_precedence_over_a_group_after_a_restart(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with served(tmp_path, store=store) as home:
        await home.hub.execute(Principal.person("me"), MakeTeam("poets", ("apollo",)))
        home.hub.state.peers.remove_team("poets")  # as if the name was configured later
        await home.hub.execute(Principal.person("me"), MakeTeam("singers", ("apollo",)))
        row = await store.get("team", "singers")
        assert row is not None
        await store.commit("hub", [], rows=[type(row)("team", "reviewers", "made", b'["prometheus"]')])
    async with served(tmp_path, store=store) as home:
        assert await answering_peers(home, "reviewers") == {"apollo", "athena"}
        assert await answering_peers(home, "poets") == {"apollo"}


async def test_a_repeated_key_creates_one_group(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        first = await made(home, "poets", "apollo", command_id="k")
        await home.ask("PUT", f"{GROUPS}/poets", {"members": ["athena"]})
        again = await made(home, "poets", "apollo", command_id="k")
        assert (again.status, again.json) == (200, first.json)
        assert (await home.ask("GET", f"{GROUPS}/poets")).json["members"] == ["athena"]
        assert (await made(home, "poets", "apollo")).json["code"] == "name_taken"
        assert (await made(home, "others", "apollo", command_id="k")).json["code"] == "key_reused"


async def test_an_agent_cannot_create_change_or_delete_groups(tmp_path: Path) -> None:
    agent = Principal("agent:apollo", frozenset({AGENT}), local=True)
    async with served(tmp_path) as home:
        await made(home, "poets", "apollo")
        for command in (MakeTeam("x", ("apollo",)), ChangeTeam("poets", ("athena",)), DropTeam("poets")):
            with pytest.raises(Forbidden):
                await home.hub.execute(agent, command)
        assert await answering_peers(home, "poets") == {"apollo"}


async def test_programs_and_groups_cannot_share_a_name(tmp_path: Path) -> None:
    async with with_programs() as home:
        body = {"name": "reviewers", "kind": "stdio", "argv": ["/bin/cat"], "cwd": "/"}
        answer = await home.ask("POST", "/api/v2/programs", body)
        assert (answer.status, answer.json["code"]) == (409, "name_taken")
        await home.announce("echo", "/bin/cat")
        assert (await made(home, "echo", "apollo")).json["code"] == "name_taken"
        await made(home, "mixed", "echo", "apollo")
        async with connected_socket(home, "group:mixed") as client:
            await client.write("hi", execute=True)
            frames = await client.reads(2)
            assert {f["ai"]: f["content"].strip() for f in frames} == {
                "apollo": "apollo heard: hi",
                "echo": "hi",
            }
