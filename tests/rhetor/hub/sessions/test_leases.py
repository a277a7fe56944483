"""Sessions that somebody has to attend to: left, come back to, and left by an earlier hub."""

from __future__ import annotations

import asyncio

import pytest
from tests.rhetor.hub.house import ME, House, house
from tests.scripted import PEERS, ScriptedDriver

from rhetor.domain.command import SendMessage, StartSession
from rhetor.domain.event import OutputDelta, Position, SessionStateChanged, ToolCalled, TurnCompleted
from rhetor.domain.output import Done, Text, ToolUse
from rhetor.domain.session import Session, SessionState, Voice
from rhetor.hub.core.limits import Limits
from rhetor.hub.fanout.presence import Occupancy
from rhetor.hub.sessions.leases import lease
from rhetor.hub.sessions.sessions import owned_session
from rhetor.store.base import follow
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
SHORT = Limits(default_peer="apollo", detach_ttl=0.01)
LONG = Limits(default_peer="apollo", detach_ttl=3600.0)


async def started(home: House, *, attended: bool = True) -> Session:
    session = await home.execute(StartSession("", attended=attended))
    assert isinstance(session, Session)
    return session


async def ended(home: House, session: Session) -> list[str]:
    """The types of its events, up to its end and with what ended with it."""
    head = await home.store.head(session.id)
    assert head is not None
    async for records in follow(home.store, session.id, Position(head.epoch, 0)):
        if any(record.event.payload == SessionStateChanged("stopped") for record in records):
            break
    while runner := home.hub.state.runners.get(session.id):
        assert runner.task is not None
        await asyncio.wait([runner.task])
    return [payload.type for payload in await home.log(session.id)]


async def test_a_session_that_was_left_is_stopped() -> None:
    async with house(limits=SHORT) as home:
        session = await started(home)
        with lease(home.hub.state, session):
            assert session.id in home.hub.state.leases
        assert await ended(home, session) == ["session.state"] * 2
        assert session.id not in home.hub.state.leases


async def test_a_turn_that_waits_for_the_client_does_not_keep_its_session() -> None:
    wish = ToolUse("c_1", "weather", {}, "client")
    async with house([wish, asyncio.Event(), Done()], limits=SHORT) as home:
        session = await started(home)
        with lease(home.hub.state, session):
            accepted = await home.send(SendMessage("hi", session_id=session.id))
            await home.until(session.id, accepted.after, ToolCalled)
        assert (await ended(home, session))[-2:] == ["session.state", "turn.cancelled"]


async def test_the_last_of_several_attendants_counts() -> None:
    async with house(limits=SHORT) as home:
        session = await started(home)
        state = home.hub.state
        with lease(state, session):
            with lease(state, session):
                pass
            assert session.id in state.leases
            other = await started(home)
            with lease(state, other):
                pass
            await ended(home, other)  # which was left later
            assert (await owned_session(state, ME, session.id)).state is SessionState.ACTIVE


async def test_who_comes_back_while_the_last_turn_runs_keeps_the_session() -> None:
    go = asyncio.Event()
    async with house([Text("a"), go, Done()], limits=SHORT) as home:
        session, state = await started(home), home.hub.state
        with lease(state, session):
            accepted = await home.send(SendMessage("hi", session_id=session.id))
            await home.until(session.id, accepted.after, OutputDelta)
        other = await started(home)
        with lease(state, other):
            pass
        await ended(home, other)  # by then the first one's time is over, too
        with lease(state, session):
            go.set()
            await home.end_of(accepted)
            await home.send(SendMessage("and now?", session_id=session.id))
            later = await started(home)
            with lease(state, later):
                pass
            await ended(home, later)
            assert (await owned_session(state, ME, session.id)).state is SessionState.ACTIVE


async def test_a_session_that_needs_nobody_is_left_alone() -> None:
    async with house(limits=SHORT) as home:
        plain, other = await started(home, attended=False), await started(home)
        for session in (plain, other):
            with lease(home.hub.state, session):
                pass
        await ended(home, other)
        assert (await owned_session(home.hub.state, ME, plain.id)).state is SessionState.ACTIVE


async def test_what_an_earlier_hub_left_waits_for_its_client_and_then_stops() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(store=store, limits=SHORT) as first:
        session = await started(first)
    async with house(store=store, limits=SHORT) as second:
        assert await ended(second, session) == ["session.state"] * 2


async def test_what_an_earlier_hub_left_goes_on_with_its_client() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(store=store, limits=LONG) as first:
        session = await started(first)
    async with house(store=store, limits=LONG) as second:
        state = second.hub.state
        with lease(state, session):
            accepted = await second.send(SendMessage("hi", session_id=session.id))
            assert isinstance(await second.end_of(accepted), TurnCompleted)
        assert (await owned_session(state, ME, session.id)).state is SessionState.ACTIVE


async def test_nobody_is_called_once_it_is_closed() -> None:
    called: list[str] = []
    occupancy = Occupancy()
    occupancy.expect("a", 0.0, lambda: called.append("a"))
    with occupancy.hold("b", 0.0, lambda: called.append("b")):
        occupancy.close()
    occupancy.expect("c", 0.0, lambda: called.append("c"))
    heard = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, heard.set)
    await heard.wait()
    assert called == []


def test_a_voice_takes_the_place_of_what_it_names() -> None:
    peer = PEERS[0]
    assert Voice().of(peer) == peer
    spoken = Voice("Be brief.", "In Greek.", "openai/gpt-5").of(peer)
    assert (spoken.prompt, spoken.model, spoken.name) == ("Be brief.\n\nIn Greek.", "openai/gpt-5", peer.name)
    assert Voice(besides="In Greek.").of(peer).prompt == f"{peer.prompt}\n\nIn Greek.".strip()


async def test_a_message_has_its_id_also_the_second_time() -> None:
    driver = ScriptedDriver([Text("a"), Done()])
    async with house(driver=driver) as home:
        command = SendMessage("hi", "apollo", context_window=0, command_id="k")
        first = await home.send(command)
        again = await home.send(command)
        assert first.message_id.startswith("m_")
        assert (again.message_id, again.replayed) == (first.message_id, True)
