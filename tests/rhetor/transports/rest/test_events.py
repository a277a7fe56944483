"""The events of a session over REST: pages, resuming, streams that end, and followers that are cut."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.transports.rest.rest_answers import session_with
from tests.scale import FULL
from tests.served import Answer, Served, served

pytestmark = pytest.mark.anyio
READERS, CHUNKS = (50, 5000) if FULL else (12, 2000)


async def test_events_come_in_pages_and_continue_after_a_cursor(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        path = f"/api/v2/sessions/{await session_with(home, 3)}/events"
        whole = (await home.ask("GET", path)).json
        assert [e["seq"] for e in whole["events"]] == list(range(1, whole["head"] + 1))
        assert [e["prev"] for e in whole["events"]] == list(range(whole["head"]))
        assert whole["events"][1]["data"]["content"] == "0"
        pages, cursor = [], None
        while True:
            page = (await home.ask("GET", f"{path}?limit=2" + (f"&after={cursor}" if cursor else ""))).json
            if not page["events"]:
                break
            pages += page["events"]
            cursor = page["events"][-1]["cursor"]
        assert pages == whole["events"]


async def test_the_end_of_a_session_is_read_first_and_then_the_pages_before_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        path = f"/api/v2/sessions/{await session_with(home, 3)}/events"
        whole = (await home.ask("GET", path)).json
        page = (await home.ask("GET", f"{path}?before=end&limit=4")).json
        assert page["events"] == whole["events"][-4:]
        assert (page["cursor"], page["head"]) == (whole["cursor"], whole["head"])
        events, before = page["events"], page["before"]
        while before is not None:
            assert before == events[0]["cursor"]
            page = (await home.ask("GET", f"{path}?limit=4&before={before}")).json
            events, before = [*page["events"], *events], page["before"]
        assert events == whole["events"]
        wanted = [event for event in whole["events"] if event["type"] == "turn.completed"]
        page = (await home.ask("GET", f"{path}?before=end&limit=2&events=turn.completed")).json
        assert [event["seq"] for event in page["events"]] == [event["seq"] for event in wanted[-2:]]
        assert page["cursor"] == whole["cursor"]
        rest = (await home.ask("GET", f"{path}?before={page['before']}&events=turn.completed")).json
        assert [event["seq"] for event in rest["events"]] == [event["seq"] for event in wanted[:-2]]
        assert (rest["before"], whole["events"][0]["seq"]) == (None, 1)


async def test_a_page_before_a_position_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        path = f"/api/v2/sessions/{await session_with(home, 1)}/events"
        cursor = (await home.ask("GET", path)).json["cursor"]
        epoch = cursor.partition(":")[0]
        for query, status in (
            (f"before={epoch}:99", 410),
            (f"before={'0' * 32}:1", 410),
            ("before=nonsense", 400),
            (f"before=end&after={cursor}", 422),
        ):
            assert (query, (await home.ask("GET", f"{path}?{query}")).status) == (query, status)
        events = {"accept": "text/event-stream"}
        assert (await home.ask("GET", f"{path}?before=end", headers=events)).status == 422
        assert (await home.ask("GET", f"{path}?before=&limit=1")).json["events"][0]["seq"] == 1


async def test_resuming_at_a_cursor_has_a_defined_outcome(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await session_with(home, 2)
        path = f"/api/v2/sessions/{session_id}/events"
        head = await home.hub.state.store.head(session_id)
        assert head is not None
        await home.hub.state.store.truncate(session_id, 4)
        cases = {
            f"{head.epoch}:{head.head}": (200, None),
            f"{head.epoch}:3": (200, None),
            f"{head.epoch}:1": (410, "truncated"),
            f"{'0' * 32}:1": (410, "epoch_changed"),
            f"{head.epoch}:{head.head + 1}": (410, "ahead"),
            "nonsense": (400, None),
            f"{head.epoch}:-1": (400, None),
            f"{head.epoch}:١": (400, None),
        }
        for cursor, (status, outcome) in cases.items():
            answer = await home.ask("GET", path, params={"after": cursor})
            assert (cursor, answer.status, answer.json.get("outcome")) == (
                cursor,
                status,
                outcome if status != 200 else "ok",
            )
        lost = (await home.ask("GET", path, params={"after": f"{head.epoch}:1"})).json
        assert (lost["earliest"], lost["head"], lost["recovered"]) == (4, head.head, False)


async def test_the_last_event_id_header_overrides_after(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await session_with(home, 1)
        head = await home.hub.state.store.head(session_id)
        assert head is not None
        headers = {"last-event-id": f"{head.epoch}:{head.head - 1}"}
        async for event in home.frames(f"/api/v2/sessions/{session_id}/events?after={head.epoch}:1", headers):
            assert event["seq"] == head.head
            break


async def test_a_restore_ends_the_stream_of_followers_with_its_outcome(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        session_id = await session_with(home, 1)
        frames = home.frames(f"/api/v2/sessions/{session_id}/events")
        first = await anext(frames)
        restored = await home.ask("POST", f"/api/v2/sessions/{session_id}/restore", {"at": first["cursor"]})
        assert restored.status == 200
        last = [event async for event in frames][-1]
        assert (last["outcome"], last["recovered"]) == ("epoch_changed", False)


def digest(events: list[dict[str, Any]]) -> str:
    view = [(e["type"], e["seq"], e["data"].get("text")) for e in events]
    return hashlib.sha256(json.dumps(view).encode()).hexdigest()


@pytest.mark.long
async def test_followers_cut_at_random_places_all_receive_the_whole_log(tmp_path: Path) -> None:
    """Many readers are each cut at random places and continue with their cursors."""
    script = [item for n in range(CHUNKS // 20) for item in (*_distinct(n),)]
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    try:
        async with served(tmp_path, [*script, Done()], store=store) as home:
            session_id = await session_with(home, 0)
            path = f"/api/v2/sessions/{session_id}"
            readers = [
                asyncio.ensure_future(_follow_with_cuts(home, f"{path}/events", random.Random(seed)))
                for seed in range(READERS)
            ]
            answer = await home.ask("POST", f"{path}/message", {"message": "go"})
            assert answer.status == 200
            seen = await asyncio.gather(*readers)
            log: list[dict[str, Any]] = []
            while page := (await _page(home, path, log)).json["events"]:
                log += page
            assert len(log) >= CHUNKS
            assert {digest(events) for events in seen} == {digest(log)}
    finally:
        await store.aclose()


def _distinct(n: int) -> list[Text]:
    """Return chunks of alternating channels, which are not joined into one event."""
    return [Text(f"{n}.{m} ", "answer" if m % 2 else "reasoning") for m in range(20)]


async def _page(home: Served, path: str, log: list[dict[str, Any]]) -> Answer:
    after = {"after": log[-1]["cursor"]} if log else {}
    return await home.ask("GET", f"{path}/events", params={"limit": "1000", **after})


async def _follow_with_cuts(home: Served, path: str, dice: random.Random) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while True:
        headers = {"last-event-id": events[-1]["cursor"]} if events else {}
        left = dice.randint(1, CHUNKS // 2)
        frames = home.frames(path, headers)
        async for event in frames:
            assert event["prev"] == (events[-1]["seq"] if events else 0)
            events.append(event)
            left -= 1
            if event["type"] == "turn.completed":
                return events
            if not left:
                break
        await frames.aclose()  # type: ignore[attr-defined]
