"""`/api/v2/schedules`: lines that run at set times, as clients see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import Payload
from rhetor.domain.output import Done, Text
from tests.served import served

pytestmark = pytest.mark.anyio
PATH = "/api/v2/schedules"


def body(**fields: Any) -> dict[str, Any]:
    return {"name": "yearly", "cron": "0 8 1 1 *", "timezone": "UTC", "line": "apollo hi", **fields}


def completed(number: int) -> Callable[[Payload], bool]:
    """Return whether a payload is the end of so many turns, for `seen`."""
    ends: list[Payload] = []

    def is_last(payload: Payload) -> bool:
        ends.extend([payload] if payload.type == "turn.completed" else [])
        return len(ends) == number

    return is_last


async def test_a_schedule_is_added_read_replaced_paused_resumed_and_removed(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        added = await home.ask("POST", PATH, body(cwd="/tmp"))
        assert added.status == 200, added.text
        made = added.json
        assert {**made, "id": "", "session_id": "", "next_at": made["next_at"][4:], "created_at": ""} == {
            **body(cwd="/tmp", id="", owner="me", overlap="skip", state="active", session="yearly"),
            "session_id": "",
            "next_at": "-01-01T08:00:00.000Z",
            "created_at": "",
            "last_due": None,
            "last_run": None,
        }
        assert (await home.ask("GET", PATH)).json == {"schedules": [made]}
        assert (await home.ask("GET", f"{PATH}/yearly")).json == made
        again = await home.ask("POST", PATH, body())
        assert (again.status, again.json["code"]) == (409, "name_taken")
        changed = body(line="athena hi", overlap="queue")
        del changed["name"]
        put = (await home.ask("PUT", f"{PATH}/yearly", changed)).json
        assert (put["id"], put["line"], put["overlap"], put["cwd"]) == (
            made["id"],
            "athena hi",
            "queue",
            None,
        )
        paused = (await home.ask("POST", f"{PATH}/yearly/pause")).json
        assert (paused["state"], paused["next_at"]) == ("paused", None)
        status = (await home.ask("GET", "/api/v2/status")).json["schedules"]
        assert status == {"active": 0, "paused": 1, "next_at": None, "starts_again": True}
        resumed = (await home.ask("POST", f"{PATH}/yearly/resume")).json
        assert resumed["next_at"] == made["next_at"]
        assert (await home.ask("DELETE", f"{PATH}/yearly")).status == 200
        assert (await home.ask("GET", f"{PATH}/yearly")).status == 404
        assert (await home.ask("GET", "/api/v2/sessions/yearly")).status == 200


async def test_a_run_answers_as_a_message_does_whole_streamed_or_later(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await home.ask("POST", PATH, body())
        whole = await home.ask("POST", f"{PATH}/yearly/run", {})
        assert (whole.status, whole.json["response"]) == (200, "apollo heard: hi")
        assert whole.headers["x-session-id"] == whole.json["session_id"]
        accept = {"accept": "text/event-stream"}
        streamed = await home.ask("POST", f"{PATH}/yearly/run", {}, headers=accept)
        assert '"data":"apollo heard: hi"' in streamed.text and '"type":"done"' in streamed.text
        later = await home.ask("POST", f"{PATH}/yearly/run", {}, headers={"prefer": "respond-async"})
        assert (later.status, sorted(later.json)) == (202, ["ai", "cursor", "session_id", "turn_id"])
        await home.seen(later.json["session_id"], completed(3))
        shown = (await home.ask("GET", f"{PATH}/yearly")).json
        assert shown["last_run"]["status"] == "completed"
        messages = (await home.ask("GET", "/api/v2/sessions/yearly")).json["messages"]
        assert [each["content"] for each in messages] == ["apollo hi", "apollo heard: hi"] * 3


async def test_a_run_while_another_one_runs_is_a_conflict(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with served(tmp_path, [gate, Text("slow"), Done()]) as home:
        await home.ask("POST", PATH, body())
        later = await home.ask("POST", f"{PATH}/yearly/run", {}, headers={"prefer": "respond-async"})
        refused = await home.ask("POST", f"{PATH}/yearly/run", {})
        assert (refused.status, refused.json["code"]) == (409, "peer_busy")
        gate.set()
        await home.seen(later.json["session_id"], lambda payload: payload.type == "turn.completed")


REJECTED: list[tuple[dict[str, Any], int, str]] = [
    ({"line": "apollo hi > file"}, 422, "cannot_schedule"),
    ({"line": "history"}, 422, "cannot_schedule"),
    ({"line": "git log | apollo"}, 404, "unknown_peer"),
    ({"cron": "0 25 * * *"}, 422, "unprocessable"),
    ({"timezone": "Mars/Base"}, 422, "unprocessable"),
    ({"overlap": "both"}, 422, "unprocessable"),
    ({"name": "a b"}, 400, "malformed"),
    ({"line": ""}, 400, "malformed"),
]


async def test_what_cannot_be_scheduled_is_rejected_and_nothing_is_stored(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for fields, status, code in REJECTED:
            answer = await home.ask("POST", PATH, body(**fields))
            assert (fields, answer.status, answer.json["code"]) == (fields, status, code)
        assert (await home.ask("GET", PATH)).json == {"schedules": []}
