"""The `events` filter of every API that streams events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text
from tests.rhetor.transports.calling import calling
from tests.served import Served, served

pytestmark = pytest.mark.anyio
ENDS = "turn.completed"


@asynccontextmanager
async def spoken(folder: Path) -> AsyncIterator[tuple[Served, str]]:
    """A session with two answers."""
    async with served(folder) as home:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        for text in ("one", "two"):
            await home.ask("POST", f"/api/v2/sessions/{made}/message", {"message": text})
        yield home, made


def checked(events: list[dict[str, Any]], *types: str) -> None:
    """They have these types, and each names the one before it."""
    assert [event["type"] for event in events] == list(types)
    seen = [0, *(event["seq"] for event in events)]
    assert [event["prev"] for event in events] == seen[:-1]


async def test_a_page_has_only_the_wanted_events_and_says_where_to_go_on(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (home, session):
        path = f"/api/v2/sessions/{session}/events"
        page = (await home.ask("GET", f"{path}?events=message.accepted,turn.completed")).json
        checked(page["events"], "message.accepted", ENDS, "message.accepted", ENDS)
        one = (await home.ask("GET", f"{path}?events={ENDS}&limit=1")).json
        assert one["cursor"] == one["events"][0]["cursor"]
        rest = (await home.ask("GET", f"{path}?events={ENDS}&after={one['cursor']}")).json
        assert [event["type"] for event in rest["events"]] == [ENDS]
        assert rest["events"][0]["prev"] == one["events"][0]["seq"]
        family = (await home.ask("GET", f"{path}?events=turn.*")).json["events"]
        assert {event["type"] for event in family} == {"turn.started", ENDS}
        none = (await home.ask("GET", f"{path}?events=tool.*")).json
        assert (none["events"], none["cursor"].rpartition(":")[2]) == ([], str(none["head"]))


async def test_a_stream_has_only_the_wanted_events(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (home, session):
        found = []
        async for event in home.frames(f"/api/v2/sessions/{session}/events?events={ENDS}"):
            found.append(event)
            if len(found) == 2:
                break
        checked(found, ENDS, ENDS)


async def test_an_unknown_event_is_an_error_everywhere(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (home, session):
        for path in (f"/api/v2/sessions/{session}/events?events=nonsense", f"{session}"):
            if path.startswith("/"):
                answer = await home.ask("GET", path)
                assert (answer.status, answer.json["code"]) == (422, "unprocessable")
                assert "nonsense" in answer.json["detail"]
        async with calling(home, "/ws/ai/apollo") as client:
            assert await client.code("subscribe", session_id=session, events=["nonsense"]) == -32602
        async with calling(home, "/ws") as client:
            assert await client.code("subscribe", stream=session, subscription="s", events=["x.*"]) == -32602


async def test_the_websockets_have_the_filter_too(tmp_path: Path) -> None:
    async with spoken(tmp_path) as (home, session):
        async with calling(home, "/ws/ai/apollo") as client:
            await client.result("subscribe", session_id=session, events=[ENDS])
            last = await client.until(lambda frame: len(client.told) == 2)
            assert last["params"]["type"] == ENDS
            checked([frame["params"] for frame in client.told], ENDS, ENDS)
        async with calling(home, "/ws") as client:
            await client.result("subscribe", stream=session, subscription="s", events=["message.accepted"])
            await client.until(lambda frame: len(client.told) == 2)
            checked([frame["params"] for frame in client.told], "message.accepted", "message.accepted")


async def test_the_end_of_a_streamed_answer_comes_whatever_is_wanted(tmp_path: Path) -> None:
    async with served(tmp_path, [Text("a"), Done()]) as home:
        path = "/api/v2/ai/apollo/stream?events=tool.*"
        answer = await home.ask("POST", path, {"content": "hi"})
        assert '"type":"done"' in answer.text and '"type":"content"' not in answer.text
