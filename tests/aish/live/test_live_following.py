"""The Python client follows sessions: in order, once, within limits, and over lost connections."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

import aish
from aish import live
from aish.live.following import MAX_EVENTS
from rhetor.domain.output import Done, Record, Text
from rhetor.transports.websocket import connection
from tests.aish.live.connected import connected, follow_until, log
from tests.aish.relay import relayed
from tests.scale import scaled
from tests.served import served

pytestmark = pytest.mark.anyio
LIMIT = scaled(200, 40)  # of subscriptions per connection
MANY = 3 * MAX_EVENTS


async def test_follow_yields_the_log(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        session = await hub.session("apollo")
        await (await session.send("one")).answer()
        follow = session.follow()
        first = await follow_until(follow, "turn.completed")
        await session.send("two")
        later = await follow_until(follow, "turn.completed")
        assert first + later == await log(hub, session.id)
        middle = session.follow(after=first[2]["cursor"])
        assert await follow_until(middle, "turn.completed", 2) == (first + later)[3:]
        assert middle.cursor == later[-1]["cursor"]


async def test_a_turn_that_was_folded_still_has_its_text(tmp_path: Path) -> None:
    script = [Text("He "), Text("llo "), Text("there"), Done()]
    async with connected(tmp_path, script) as (home, hub):
        session = await hub.session("apollo")
        turn = await session.send("hi")
        await turn.answer()
        await home.hub.state.store.fold(session.id, turn.id)
        assert "".join([piece async for piece in turn.text()]) == "He llo there"


async def test_a_lost_position_is_raised_after_the_events_before_it(tmp_path: Path) -> None:
    async with connected(tmp_path) as (_, hub):
        session, other = await hub.session("apollo"), await hub.session("apollo")
        follow, beside = session.follow(), other.follow()
        first = await anext(follow)
        assert (await anext(beside)).session_id == other.id
        await (await session.send("hi")).answer()
        await hub.request("POST", f"/api/v2/sessions/{session.id}/restore", {"at": first.cursor})
        seen = [first.seq]
        with pytest.raises(live.EpochChanged) as lost:
            while True:
                seen.append((await anext(follow)).seq)
        assert seen == list(range(1, len(seen) + 1))
        assert lost.value.epoch != first.epoch
        with pytest.raises(live.EpochChanged):
            await anext(follow)
        with pytest.raises(live.Ahead):
            await anext(session.follow(after=f"{lost.value.epoch}:999"))
        await other.send("hi")
        assert (await follow_until(beside, "turn.completed"))[-1]["session_id"] == other.id


async def test_a_truncated_log_is_reported_with_its_beginning(tmp_path: Path) -> None:
    async with connected(tmp_path) as (home, hub):
        session = await hub.session("apollo")
        await (await session.send("hi")).answer()
        first = await anext(session.follow())
        await home.hub.state.store.truncate(session.id, 4)
        with pytest.raises(live.Truncated) as lost:
            await anext(session.follow(after=first.cursor))
        assert lost.value.earliest == 4
        assert (await anext(session.follow())).seq == 4


async def test_a_stalled_reader_is_buffered_up_to_a_limit_and_delays_no_other(tmp_path: Path) -> None:
    records = [Record(record={"n": number}) for number in range(MANY)]
    async with connected(tmp_path, [*records, Done()], seconds=60) as (_, hub):
        busy, calm = await hub.session("apollo"), await hub.session("apollo")
        stalled, reads = busy.follow(), busy.follow()
        await anext(stalled)
        await busy.send("go")
        everything = await follow_until(reads, "turn.completed")
        assert len(everything) > MANY
        assert stalled.buffered <= MAX_EVENTS
        assert (await (await calm.send("hi")).answer()).text == "apollo heard: hi"
        assert stalled.buffered <= MAX_EVENTS
        assert await follow_until(stalled, "turn.completed") == everything[1:]


@pytest.mark.long
async def test_one_connection_follows_more_turns_than_its_limit_of_subscriptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_TASKS", LIMIT)
    async with connected(tmp_path, seconds=120) as (_, hub):
        session = await hub.session("apollo")
        for number in range(LIMIT + 30):
            assert (await (await session.send(f"{number}")).answer()).text == f"apollo heard: {number}"
            await anext(session.follow())  # dropped without closing


async def test_every_event_arrives_once_however_often_the_connection_breaks(tmp_path: Path) -> None:
    dice = random.Random(7)
    async with (
        served(tmp_path, *([*_pieces(), Done()] for _ in range(6)), seconds=60) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
    ):
        session = await hub.session("apollo")
        follow = session.follow()
        events = asyncio.create_task(follow_until(follow, "turn.completed", 6))
        for _ in range(6):
            await session.send("go")
            for _ in range(3):
                await asyncio.sleep(dice.uniform(0, 0.02))
                relay.cut()
        assert await events == await log(hub, session.id)
        assert relay.connections > 6


def _pieces() -> list[Any]:
    """Yield texts that each become a separate event."""
    return [Record(record={"n": number}) for number in range(200)]


async def test_a_message_whose_response_was_lost_is_sent_once(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
    ):
        session = await hub.session("apollo")
        relay.is_deaf = True
        sending = asyncio.create_task(session.send("hi"))
        await relay.deafened.wait()
        relay.cut()
        assert (await (await sending).answer()).text == "apollo heard: hi"
        assert home.driver.heard == [("apollo", "hi")]


async def test_a_request_that_is_not_idempotent_is_not_repeated(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as home,
        relayed(tmp_path, home.socket) as relay,
        aish.connect(str(relay.folder), start=False) as hub,
    ):
        session = await hub.session("apollo")
        relay.is_deaf = True
        ending = asyncio.create_task(session.interrupt())
        await relay.deafened.wait()
        relay.cut()
        with pytest.raises(live.HubUnreachable):
            await ending


async def test_the_client_gives_up_if_the_hub_does_not_return(tmp_path: Path) -> None:
    async with aish.connect(str(tmp_path), start=False, reconnect_timeout=0.2) as hub:
        for asked in (hub.peers(), anext(hub.follow("s_1")), anext(hub.watch_permissions())):
            with pytest.raises(live.HubUnreachable) as failed:
                await asked
            assert str(failed.value) == (
                "cannot reach the hub: No such file or directory; waited 0.2 s for it"
            )


async def test_closing_the_connection_ends_a_follow_with_an_exception(tmp_path: Path) -> None:
    async with served(tmp_path):
        async with aish.connect(str(tmp_path), start=False) as hub:
            follow = (await hub.session("apollo")).follow()
            await anext(follow)
            waiting = asyncio.create_task(anext(follow))
            await asyncio.sleep(0)
        with pytest.raises(live.HubError) as closed:
            await waiting
        assert closed.value.code == "closed"
