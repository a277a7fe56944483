"""Paused turns over REST: their status, their request, and the frames of the answer's stream."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import time
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Done, Text
from rhetor.domain.quota import reset_time
from rhetor.errors import RateLimited
from tests.scripted import peer
from tests.served import Served, served

pytestmark = pytest.mark.anyio
REASON = "5-hour limit reached"


def limit() -> RateLimited:
    return RateLimited(REASON, retryable=True, resets_at=reset_time(time() + 3600))


async def pending(home: Served) -> dict[str, Any]:
    """Wait for the permission request, and return it."""
    while True:
        changed = home.hub.state.requests_changed.next()
        found: list[dict[str, Any]] = (await home.ask("GET", "/api/v2/permissions")).json["permissions"]
        if found:
            return found[0]
        await changed.wait()


async def frames(home: Served, name: str) -> list[dict[str, Any]]:
    answer = await home.ask("POST", f"/api/v2/ai/{name}/stream", {"content": "hi"})
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


async def test_a_pause_is_shown_and_answered_over_rest(tmp_path: Path) -> None:
    async with served(tmp_path, [limit()], [Text("at last"), Done()]) as home:
        turn = asyncio.create_task(frames(home, "apollo"))
        request = await pending(home)
        status = await home.status("apollo")
        assert (status["status"], status["running"]) == ("blocked", 1)
        assert REASON in status["evidence"]
        [pause] = status["paused"]
        assert pause == {
            "turn_id": request["turn_id"],
            "session_id": request["session_id"],
            "request_id": request["request_id"],
            "cause": "quota",
            "reason": REASON,
            "resets_at": request["detail"]["resets_at"],
            "then": None,
            "since": pause["since"],
        }
        [listed] = [p for p in (await home.ask("GET", "/api/v2/ai")).json["peers"] if p["id"] == "apollo"]
        assert (listed["status"], listed["evidence"]) == ("blocked", status["evidence"])
        session = (await home.ask("GET", f"/api/v2/sessions/{request['session_id']}")).json
        assert session["state"] == "waiting"
        path = f"/api/v2/sessions/{request['session_id']}/permissions/{request['request_id']}"
        assert (await home.ask("POST", path, {"option_id": "tomorrow"})).status == 422
        assert (await home.ask("POST", path, {"option_id": "now"})).status == 200
        shown = [frame["type"] for frame in await turn]
        assert shown == ["quota_paused", "permission", "permission_answered", "content", "done"]
        assert (await home.status("apollo"))["paused"] == []


async def test_the_stream_says_which_peer_answers_instead(tmp_path: Path) -> None:
    guest = replace(peer("zeus"), on_pause="handover:apollo")
    async with served(tmp_path, [limit()], [Text("at last"), Done()], also=[guest]) as home:
        found = await frames(home, "zeus")
        assert [frame["type"] for frame in found] == ["quota_paused", "passed_on", "content", "done"]
        assert (found[1]["from"], found[1]["to"]) == ("zeus", "apollo")
