"""Named sockets for tests: what their clients read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.rhetor.transports.socket_client import Frame
from tests.served import TOKEN, Served
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rhetor.domain.principal import Principal

ME, OTHER = Principal.person("me", local=True), Principal.person("somebody else", local=True)
SPECIALISTS = ["apollo", "athena", "prometheus"]


async def refused(home: Served, path: str) -> tuple[int, str]:
    """Return status and code of the response to a rejected upgrade."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with pytest.raises(InvalidStatus) as error:
        async with connect(f"ws://127.0.0.1:{home.port}{path}", additional_headers=headers):
            pass
    response = error.value.response
    return response.status_code, json.loads(response.body or b"{}")["code"]


def contents(frames: list[Frame]) -> list[Any]:
    return [frame["content"] for frame in frames]


async def events_of(home: Served, session_id: str) -> list[Frame]:
    found: list[Frame] = (await home.ask("GET", f"/api/v2/sessions/{session_id}/events")).json["events"]
    return found


async def until_unread(home: Served, socket_id: str, count: int) -> None:
    """Wait until `count` whole messages are unread in the socket."""
    async with asyncio.timeout(60):
        while True:
            listed = (await home.ask("GET", "/api/ai/socket")).json["sockets"]
            if next(s for s in listed if s["socket_id"] == socket_id)["waiting"] == count:
                return
            await asyncio.sleep(0.02)
