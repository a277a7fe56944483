"""What readers of a session get that retention has removed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from rhetor.hub.plans.old_streams import remove_old
from tests.rhetor.transports.calling import calling
from tests.rhetor.transports.open_clients import open_client
from tests.rhetor.transports.socketio.hub_talker import talking
from tests.served import Served, served

pytestmark = pytest.mark.anyio


async def stopped(home: Served, session_id: str) -> str:
    """Stop the session, and return a cursor of it."""
    await home.ask("DELETE", f"/api/v2/sessions/{session_id}")
    cursor: str = (await home.ask("GET", f"/api/v2/sessions/{session_id}")).json["cursor"]
    return cursor


async def removed(home: Served) -> None:
    while home.hub.state.running:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert await remove_old(home.hub.state, 1 << 60) == 1


async def created(home: Served) -> str:
    made: dict[str, Any] = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json
    await home.ask("POST", f"/api/v2/sessions/{made['id']}/message", {"message": "hi"})
    return str(made["id"])


async def test_a_removed_session_is_404_for_every_route(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await created(home)
        cursor = await stopped(home, session_id)
        await removed(home)
        for method, path in (
            ("GET", ""),
            ("GET", "/events"),
            ("GET", f"/events?after={cursor}"),
            ("POST", "/resume"),
            ("DELETE", ""),
            ("GET", "/timeline"),
        ):
            answer = await home.ask(method, f"/api/v2/sessions/{session_id}{path}")
            assert (path, answer.status, answer.json["code"]) == (path, 404, "not_found")
        stream = {"accept": "text/event-stream", "last-event-id": cursor}
        answer = await home.ask("GET", f"/api/v2/sessions/{session_id}/events", headers=stream)
        assert (answer.status, answer.json["code"]) == (404, "not_found")
        assert (await home.ask("GET", "/api/v2/sessions")).json["sessions"] == []
        assert session_id not in (await home.ask("GET", "/api/v2/history")).text
        async with calling(home, "/ws/ai/apollo") as caller:
            error = (await caller.ask("subscribe", session_id=session_id, cursor=cursor))["error"]
            assert error["data"]["code"] == "not_found"
        async with calling(home, "/ws") as caller:
            error = (await caller.ask("resumeSession", sessionId=session_id, cursor=cursor))["error"]
            assert error["data"]["code"] == "not_found"
        async with talking(home) as talker:
            answered = await talker.request("subscribe", session_id=session_id, cursor=cursor)
            assert answered["code"] == "not_found"


async def test_an_event_stream_of_a_removed_session_ends_with_an_error(tmp_path: Path) -> None:
    async with served(tmp_path) as home, open_client(home, "sse") as client:
        await home.ask("DELETE", f"/api/v2/sessions/{client.session}")
        await removed(home)
        assert await client.ended() == ("error", "not_found")


async def test_a_subscription_of_a_removed_session_ends_with_an_error(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await created(home)
        async with calling(home, "/ws/ai/apollo") as caller, talking(home) as talker:
            await caller.result("subscribe", session_id=session_id)
            await talker.request("subscribe", session_id=session_id, events=["event"])
            await home.ask("DELETE", f"/api/v2/sessions/{session_id}")
            await removed(home)
            with pytest.raises(ConnectionClosedError, match=r"4003.*not_found"):
                while True:
                    await caller.read()
            name, _ = await talker.until(lambda name, said: said.get("code") == "not_found")
            assert session_id in name
