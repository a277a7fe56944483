"""Programs with `aish.connect()` and the installed hub: the hub is killed, restarted, and shared."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.e2e.home import Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script
from tests.scale import scaled

import aish
from aish.live import Event, Follow, Hub, Session, TurnInterrupted

pytestmark = pytest.mark.anyio
KILLS = scaled(5, 3)
CLIENTS, MESSAGES = 12, 8
SECONDS = 120


@pytest.fixture
def home_with_model(
    machine: Machine, provider: ProviderProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The machine's home, also for this process; the hub's model answers with 10,000 chunks."""
    provider.forget()
    provider.script(default=Script(chunks=tuple(f"chunk {n} " for n in range(10_000)), delay=0.001))
    key = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "scripted"}
    machine.environment |= key
    for name, value in {**key, "RHETOR_HOME": str(machine.folder)}.items():
        monkeypatch.setenv(name, value)
    yield str(machine.folder)


@pytest.mark.long
async def test_kills_neither_lose_nor_repeat_events(machine: Machine, home_with_model: str) -> None:
    dice = random.Random(11)
    async with asyncio.timeout(SECONDS), aish.connect(home_with_model) as hub:
        session = await hub.session("apollo", name="long")
        follow = session.follow()
        seen: list[Event] = []
        for _ in range(KILLS):
            turn = await session.send("go")
            seen += await follow_until(follow, turn.id, "output.delta", dice.randrange(1, 40))
            await asyncio.to_thread(machine.kill_hub)  # the client restarts it
            seen += await follow_until(follow, turn.id, "turn.interrupted")
            with pytest.raises(TurnInterrupted) as interrupted:
                await turn.answer()
            assert interrupted.value.partial.startswith("chunk 0 ")
        logged = await log(hub, session)
        assert [event["seq"] for event in logged] == list(range(1, len(logged) + 1))
        assert digest([shown(event) for event in seen]) == digest(logged[: len(seen)])
        assert len(seen) == len(logged)


@pytest.mark.long
async def test_concurrent_clients_each_get_their_own_answers(
    home_with_model: str, provider: ProviderProcess
) -> None:
    provider.script(default=Script(chunks=("a", "b", "c", "d")))
    async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
        hubs = [await stack.enter_async_context(aish.connect(home_with_model)) for _ in range(CLIENTS)]
        ids = await asyncio.gather(*(conversation(hub, number) for number, hub in enumerate(hubs)))
        assert len({id for found in ids for id in found}) == CLIENTS * (MESSAGES + 1)


async def conversation(hub: Hub, number: int) -> set[str]:
    """Send messages in a new session; return the ids of the session and of its turns."""
    session = await hub.session("apollo")
    follow = session.follow()
    turns = await asyncio.gather(*(session.send(f"{number}/{n}") for n in range(MESSAGES)))
    answers = await asyncio.gather(*(turn.answer() for turn in turns))
    assert [answer.text for answer in answers] == ["abcd"] * MESSAGES
    events: list[Event] = []
    while sum(event.type == "turn.completed" for event in events) < MESSAGES:
        events.append(await anext(follow))
    assert {event.session_id for event in events} == {session.id}
    asked = [event.data["content"] for event in events if event.type == "message.accepted"]
    assert sorted(asked) == [f"{number}/{n}" for n in range(MESSAGES)]
    assert digest([shown(event) for event in events]) == digest((await log(hub, session))[: len(events)])
    return {session.id, *(turn.id for turn in turns)}


async def follow_until(follow: Follow, turn_id: str, last: str, count: int = 1) -> list[Event]:
    """Follow up to the `count`th event of type `last` of that turn; return the events."""
    found: list[Event] = []
    while count:
        found.append(await anext(follow))
        count -= (found[-1].turn_id, found[-1].type) == (turn_id, last)
    return found


async def log(hub: Hub, session: Session) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await hub.request("GET", f"/api/v2/sessions/{session.id}/events?limit=1000{after}")
        if not page["events"]:
            return found
        found += page["events"]
        after = f"&after={found[-1]['cursor']}"


def shown(event: Event) -> dict[str, Any]:
    """Return the event in the form of the hub's pages."""
    names = ("epoch", "seq", "prev", "cursor", "session_id", "turn_id", "at", "type", "data")
    return {name: getattr(event, name) for name in names}


def digest(events: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(events, sort_keys=True).encode()).hexdigest()
