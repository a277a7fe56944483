"""Lines that are previewed and completed over REST, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text
from tests.callers import caller
from tests.served import Served, served, with_programs

pytestmark = pytest.mark.anyio


async def preview(home: Served, line: str, **more: Any) -> Any:
    answer = await home.ask("POST", "/api/v2/plans/preview", {"line": line, **more})
    assert answer.status == 200, answer.text
    return answer.json


async def complete(home: Served, line: str, at: int | None = None) -> Any:
    body = {"line": line, "at": len(line) if at is None else at}
    answer = await home.ask("POST", "/api/v2/plans/complete", body)
    assert answer.status == 200, answer.text
    return answer.json


async def test_a_line_without_problems_is_previewed_as_it_runs(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("a"), Done()], [Text("b"), Done()]) as home:
        line = 'apollo "hi" | athena'
        shown = await preview(home, line)
        assert shown == {
            "steps": [
                {
                    "step": "s1",
                    "peer": "apollo",
                    "kind": "peer",
                    "label": "apollo",
                    "members": [],
                    "depends_on": [],
                    "start": 0,
                    "length": 11,
                },
                {
                    "step": "s2",
                    "peer": "athena",
                    "kind": "peer",
                    "label": "athena",
                    "members": [],
                    "depends_on": ["s1"],
                    "start": 14,
                    "length": 6,
                },
            ],
            "problems": [],
        }
        prefer = {"prefer": "respond-async"}
        plan = (await home.ask("POST", "/api/v2/plans", {"line": line}, headers=prefer)).json["plan_id"]
        steps = (await home.ask("GET", f"/api/v2/plans/{plan}")).json["steps"]
        assert [(step["id"], step["depends_on"]) for step in steps] == [("s1", []), ("s2", ["s1"])]


async def test_a_preview_runs_nothing_and_stores_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        before = home.hub.state.store.commit_stats.events
        await preview(home, 'apollo "hi" | {athena|apollo} | team:all')
        assert home.hub.state.store.commit_stats.events == before
        assert (await home.ask("GET", "/api/v2/sessions")).json["sessions"] == []


async def test_unknown_names_are_problems_with_the_nearest_name(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        line = 'apolo "hi" | {athena|@nothing} | team:al | grep'
        shown = await preview(home, line)
        told = [(line[p["start"] :][: p["length"]], p["detail"], p["hint"]) for p in shown["problems"]]
        unknown = "aish list shows the peers; programs run only in the shell"
        assert told == [
            ("apolo", "no peer is called 'apolo'", "Did you mean apollo?"),
            ("@nothing", "No AI found for capability: nothing", unknown),
            ("team:al", "no team is called 'al'", "Did you mean team:all?"),
            ("grep", "no peer is called 'grep'", unknown),
        ]
        kinds = [(step["label"], step["kind"], step["peer"]) for step in shown["steps"]]
        assert kinds == [
            ("apolo", "peer", None),
            ("athena", "peer", "athena"),
            ("@nothing", "capability", None),
            ("team:al", "team", None),
            ("grep", "peer", None),
        ]


async def test_commands_of_the_shell_missing_messages_and_sessions_are_problems(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        (command,) = (await preview(home, "history | apollo"))["problems"]
        assert command["detail"] == "history is a command of the shell"
        (empty,) = (await preview(home, "apollo | athena"))["problems"]
        assert (empty["start"], empty["detail"]) == (0, "the message is empty")
        assert (await preview(home, "apollo | athena", input="hi"))["problems"] == []
        (session,) = (await preview(home, 'apollo -s=nowhere "hi"'))["problems"]
        assert session["detail"] == "there is no session 'nowhere'"
        (long,) = (await preview(home, " | ".join(["apollo x", *["athena"] * 20])))["problems"]
        assert (long["start"], "peers" in long["detail"]) == (0, True)


async def test_teams_show_their_members_and_capabilities_the_best_peer(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        group = {"name": "pair", "members": ["apollo", "athena"]}
        assert (await home.ask("POST", "/api/ai/socket/groups", group)).status < 300
        capability = next(iter(home.hub.state.peers.capabilities()))
        best = home.hub.state.peers.capabilities()[capability][0]
        shown = await preview(home, f'team:pair "hi" | @{capability}')
        team, capable = shown["steps"]
        assert (team["kind"], team["peer"], team["members"]) == ("team", None, ["apollo", "athena"])
        assert (capable["kind"], capable["peer"]) == ("capability", best)
        assert shown["problems"] == []


async def test_names_sessions_and_operators_are_completed(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "work"})
        await home.ask("POST", "/api/v2/sessions", {"specialist_id": "athena", "name": "other"})
        answer = await complete(home, "apo")
        assert (answer["start"], answer["end"]) == (0, 3)
        assert [(each["text"], each["kind"]) for each in answer["candidates"]] == [("apollo", "peer")]
        assert "team:all" in [each["text"] for each in (await complete(home, "apollo x | t"))["candidates"]]
        sessions = (await complete(home, "apollo --session-id="))["candidates"]
        assert sessions == [{"text": "work", "kind": "session", "detail": "apollo, active"}]
        assert (await complete(home, "apollo hi "))["candidates"][0]["text"] == "|"
        assert (await complete(home, "ap | athena", 2))["end"] == 2
        too_far = {"line": "ap", "at": 3}
        assert (await home.ask("POST", "/api/v2/plans/complete", too_far)).status == 422


async def test_what_belongs_to_others_is_neither_previewed_nor_completed(tmp_path: Path) -> None:
    async with with_programs() as home:
        await home.announce("box", "cat")
        own = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "canary"})).json
        guest = await caller(home, "guest", {"read"})

        async def ask(path: str, body: Any) -> str:
            answer = await home.ask_tcp("POST", f"/api/v2/plans/{path}", guest, json=body)
            assert answer.status == 200, answer.text
            return answer.text

        assert "canary" not in await ask("complete", {"line": "apollo -s=", "at": 10})
        assert '"box"' not in await ask("complete", {"line": "b", "at": 1})
        assert "there is no session" in await ask("preview", {"line": f'apollo -s={own["id"]} "hi"'})
        assert "no peer is called 'box'" in await ask("preview", {"line": 'box "hi"'})
