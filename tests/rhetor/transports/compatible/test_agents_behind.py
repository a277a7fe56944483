"""Agents as models: their permission requests wait for a person, and the stream stays open meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text
from rhetor.transports.server import sse
from tests.served import TOKEN, served

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
BODY: Any = {"model": "apollo", "messages": [{"role": "user", "content": "hi"}], "stream": True}
KEY = {"x-api-key": TOKEN}


async def test_a_stream_stays_open_while_a_person_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.02)
    yes, decided = PermissionOption("yes", "Yes", "allow_once"), asyncio.Event()
    asked = Permission("r1", "bash", {"command": "ls"}, (yes,))
    async with (
        served(tmp_path, [Text("Let me. "), asked, decided, Text("Done."), Done()]) as home,
        home.remote.post(f"{home.node.url}{CHAT}", headers=KEY, json=BODY) as response,
    ):
        session = response.headers["x-session-id"]
        await home.seen(session, lambda payload: payload.type == "permission.asked")
        await response.content.readuntil(b"\n\n:\n\n")  # a comment
        path = f"/api/v2/sessions/{session}/permissions/r1"
        allowed = await home.ask("POST", path, {"option_id": "yes"})
        assert allowed.status == 200, allowed.text
        decided.set()
        rest = (await response.content.read()).decode()
    assert "Done." in rest
    assert rest.endswith("data: [DONE]\n\n")
