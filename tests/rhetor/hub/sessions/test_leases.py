"""Leases: sessions that end when their client leaves, when it reconnects, and after a restart of the hub."""

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
from rhetor.hub.sessions.states import owned_session
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
    """The types of the session's events, once it has ended and its runner too."""
    head = await home.store.head(session.id)
    assert head is not None
    async for records in follow(home.store, session.id, Position(head.epoch, 0)):
        if any(record.event.payload == SessionStateChanged("stopped") for record in records):
            break
    while runner := home.hub.state.runners.get(session.id):
        assert runner.task is not None
        await asyncio.wait([runner.task])
    return [payload.type for payload in await home.log(session.id)]


async def test_a_session_is_stopped_after_its_client_has_left() -> None:
    async with house(limits=SHORT) as home:
        session = await started(home)
        with lease(home.hub.state, session):
            assert session.id in home.hub.state.leases
        assert await ended(home, session) == ["session.state"] * 2
        assert session.id not in home.hub.state.leases


async def test_a_turn_that_waits_for_its_client_does_not_keep_the_session_open() -> None:
    wish = ToolUse("c_1", "weather", {}, "client")
    async with house([wish, asyncio.Event(), Done()], limits=SHORT) as home:
        session = await started(home)
        with lease(home.hub.state, session):
            accepted = await home.send(SendMessage("hi", session_id=session.id))
            await home.until(session.id, accepted.after, ToolCalled)
        end = ["session.state", "output.partial", "turn.cancelled"]
        assert (await ended(home, session))[-3:] == end


async def test_a_session_stays_open_until_its_last_client_leaves() -> None:
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


async def test_a_client_that_reconnects_during_the_last_turn_keeps_the_session() -> None:
    go = asyncio.Event()
    async with house([Text("a"), go, Done()], limits=SHORT) as home:
        session, state = await started(home), home.hub.state
        with lease(state, session):
            accepted = await home.send(SendMessage("hi", session_id=session.id))
            await home.until(session.id, accepted.after, OutputDelta)
        other = await started(home)
        with lease(state, other):
            pass
        await ended(home, other)  # by then, the first session's TTL is over, too
        with lease(state, session):
            go.set()
            await home.end_of(accepted)
            await home.send(SendMessage("and now?", session_id=session.id))
            later = await started(home)
            with lease(state, later):
                pass
            await ended(home, later)
            assert (await owned_session(state, ME, session.id)).state is SessionState.ACTIVE


async def test_a_session_without_detach_ttl_is_not_stopped() -> None:
    async with house(limits=SHORT) as home:
        plain, other = await started(home, attended=False), await started(home)
        for session in (plain, other):
            with lease(home.hub.state, session):
                pass
        await ended(home, other)
        assert (await owned_session(home.hub.state, ME, plain.id)).state is SessionState.ACTIVE


async def test_after_a_restart_a_session_is_stopped_if_its_client_does_not_return() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(store=store, limits=SHORT) as first:
        session = await started(first)
    async with house(store=store, limits=SHORT) as second:
        assert await ended(second, session) == ["session.state"] * 2


async def test_after_a_restart_a_client_can_continue_its_session() -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with house(store=store, limits=LONG) as first:
        session = await started(first)
    async with house(store=store, limits=LONG) as second:
        state = second.hub.state
        with lease(state, session):
            accepted = await second.send(SendMessage("hi", session_id=session.id))
            assert isinstance(await second.end_of(accepted), TurnCompleted)
        assert (await owned_session(state, ME, session.id)).state is SessionState.ACTIVE


async def test_closed_occupancy_calls_no_callbacks() -> None:
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


def test_a_voice_replaces_only_the_settings_that_it_names() -> None:
    peer = PEERS[0]
    assert Voice().of(peer) == peer
    spoken = Voice("Be brief.", "In Greek.", "openai/gpt-5").of(peer)
    assert (spoken.prompt, spoken.model, spoken.name) == ("Be brief.\n\nIn Greek.", "openai/gpt-5", peer.name)
    assert Voice(besides="In Greek.").of(peer).prompt == f"{peer.prompt}\n\nIn Greek.".strip()


async def test_a_repeated_command_returns_the_same_message_id() -> None:
    driver = ScriptedDriver([Text("a"), Done()])
    async with house(driver=driver) as home:
        command = SendMessage("hi", "apollo", context_window=0, command_id="k")
        first = await home.send(command)
        again = await home.send(command)
        assert first.message_id.startswith("m_")
        assert (again.message_id, again.replayed) == (first.message_id, True)
