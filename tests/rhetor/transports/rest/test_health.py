"""How the hub is, to administrators and to other callers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text
from rhetor.store.commit_stats import Recent
from tests.callers import caller
from tests.rhetor.transports.calling import calling, calling_tcp
from tests.served import Served, served, with_programs

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"),)


async def health(home: Served, headers: dict[str, str] | None = None) -> Any:
    path = "/api/v2/health"
    answer = await (home.ask("GET", path) if headers is None else home.ask_tcp("GET", path, headers))
    assert answer.status == 200, answer.text
    return answer.json


async def test_an_administrator_sees_the_whole_hub(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("hi"), Done()]) as home, calling(home, "/ws"):
        answer = await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi"})
        assert answer.status == 200
        found = await health(home)
        assert (found["status"], found["problems"]) == ("ok", [])
        assert found["turns"] == {"running": 0, "waiting": 0, "queued": 0}
        assert (found["connections"], found["certificate"], found["programs"]) == ({"ws": 1}, None, 0)
        assert found["uptime"] >= 0 and found["process"]["memory"] > 1 << 20
        store = found["store"]
        assert store["events"] > 0 and store["events_per_second"] > 0 and store["bytes"] > 0
        assert store["oldest_event_at"] is not None and store["free_bytes"] > 0
        assert found["followers"] == {"count": 0, "behind": 0, "most_behind": 0}
        assert found["last_backup"] is None
        assert found["nodes"] is None


async def test_turns_that_run_wait_and_are_queued_are_counted(tmp_path: Path) -> None:
    go = asyncio.Event()
    script = [Permission("r1", "Bash", {}, OPTIONS), go, Done()]
    async with served(tmp_path, script, [go, Done()], [go, Done()]) as home:
        session = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        prefer = {"Prefer": "respond-async"}
        for _ in range(2):
            path = f"/api/v2/sessions/{session}/message"
            assert (await home.ask("POST", path, {"message": "hi"}, headers=prefer)).status == 202
        await home.seen(session, lambda payload: payload.type == "permission.asked")
        await home.ask("POST", "/api/v2/ai/athena/message", {"content": "hi"}, headers=prefer)
        assert (await health(home))["turns"] == {"running": 1, "waiting": 1, "queued": 1}
        guest = await caller(home, "guest", {"read"})
        found = await health(home, guest)
        assert found["turns"] == {"running": 0, "waiting": 0, "queued": 0}
        go.set()


async def test_other_callers_see_only_their_own(tmp_path: Path) -> None:
    async with with_programs() as home, calling_tcp(home, "/ws"):
        await home.announce("box", "cat")
        await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
        await home.ask("POST", "/api/v2/audit", {"action": "backup", "target": "/canary/a.backup"})
        found = await health(home, await caller(home, "guest", {"read"}))
        assert (found["connections"], found["sessions"], found["status"]) == ({}, 0, "ok")
        hidden = ("process", "store", "followers", "programs", "last_backup")
        assert [found[name] for name in hidden] == [None] * 5
        assert (await health(home))["programs"] == 1


async def test_the_last_backup_is_the_one_that_the_audit_has(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert (await health(home))["last_backup"] is None
        for file in ("/one.backup", "/two.backup"):
            note = {"action": "backup", "target": file}
            assert (await home.ask("POST", "/api/v2/audit", note)).status == 200
        first = (await health(home))["last_backup"]
        assert first["file"] == "/two.backup"
        await home.ask("POST", "/api/v2/audit", {"action": "export", "target": "/three"})
        assert (await health(home))["last_backup"] == first


def test_events_per_second_are_the_mean_of_the_last_minute() -> None:
    now = 100.0
    recent = Recent(lambda: now)
    assert recent.per_second == 0
    for _ in range(120):
        recent.add(30)
        now += 1
    assert recent.per_second == pytest.approx(30, rel=0.05)
    now += 30
    assert recent.per_second == pytest.approx(15, rel=0.1)
    now += 1000
    assert recent.per_second == 0
    recent.add(60)
    assert recent.per_second == 1


def test_the_rate_of_a_hub_that_has_just_started_is_not_that_of_a_whole_minute() -> None:
    now = 5.0
    recent = Recent(lambda: now)
    recent.add(10)
    now += 2
    assert recent.per_second == 5
