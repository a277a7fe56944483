"""What goes on at one node is shown and counted at the others, and clients at all nodes count as clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

import pytest
from tests.rhetor.hub.house import ME
from tests.rhetor.hub.nodes import together
from tests.rhetor.hub.nodes.together import Node, eventually, several

from rhetor.domain.command import OpenSocket, SendMessage, StartSession
from rhetor.domain.event import Position, SessionStateChanged, TurnCompleted, TurnInterrupted
from rhetor.domain.output import Done, Text
from rhetor.domain.principal import Principal
from rhetor.domain.session import SessionState
from rhetor.errors import StoreRefused, TooManyTurns
from rhetor.hub import retention
from rhetor.hub.boards import Boards
from rhetor.hub.catalog.boards import KIND, Board
from rhetor.hub.catalog.sessions import session_of
from rhetor.hub.core.limits import Limits, Retention
from rhetor.hub.programs import now
from rhetor.hub.programs.status import status_of, until_idle
from rhetor.hub.sessions import sockets, states
from rhetor.hub.sessions.leases import expect_clients, lease
from rhetor.hub.sessions.send import Accepted

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]


@asynccontextmanager
async def two(url: str, **options: object) -> AsyncIterator[tuple[Node, Node]]:
    async with some(url, "a", "b", **options) as (one, other):
        yield one, other


@asynccontextmanager
async def some(url: str, *names: str, **options: object) -> AsyncIterator[list[Node]]:
    async with several(url, *names, **options) as nodes, AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(polling(node))
        yield nodes


@asynccontextmanager
async def polling(node: Node) -> AsyncIterator[None]:
    """Read what the other nodes say, again and again, because these nodes have no mirrors."""
    over = asyncio.Event()
    task = asyncio.create_task(_poll(node, over))
    try:
        yield
    finally:
        over.set()
        await task


async def _poll(node: Node, over: asyncio.Event) -> None:
    boards = node.house.hub.state.boards
    assert isinstance(boards, Boards)
    with suppress(StoreRefused):  # the node has died
        while not over.is_set():
            await asyncio.sleep(0.02)
            await boards.refresh()


@contextmanager
def held(*nodes: Node) -> Iterator[asyncio.Event]:
    """Let the next turn wait in the middle of its answer, at whichever node it runs."""
    event = asyncio.Event()
    for node in nodes:
        node.driver.scripts.append([Text("one "), event, Text("two"), Done()])
    try:
        yield event
    finally:
        event.set()


async def ended(node: Node, accepted: Accepted) -> object:
    async with asyncio.timeout(20):
        end, _ = await node.house.hub.answer(accepted)
    return end


async def test_a_turn_is_shown_at_all_nodes_while_it_runs(postgres_url: str) -> None:
    async with two(postgres_url) as (one, other):
        state = other.house.hub.state
        apollo = state.peers.get("apollo")
        with held(one):
            accepted = await one.house.send(content="hi", target="apollo")
            await eventually(lambda: now.turn_of_session(state, accepted.session_id) is not None)
            assert status_of(state, apollo).state == "busy"
            assert now.running_turns(state, apollo) == 1
            waiting = asyncio.create_task(until_idle(state, ME, ["apollo"], "all", 20))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        assert (await waiting).idle == ("apollo",)
        await eventually(lambda: not state.elsewhere.turns)
        assert status_of(state, apollo).state == "idle"


async def test_a_client_that_waits_at_another_node_does_not_miss_a_turn_that_has_just_begun(
    postgres_url: str,
) -> None:
    async with two(postgres_url) as (one, other):
        with held(one) as event:
            await one.house.send(content="hi", target="apollo")
            assert not other.house.hub.state.elsewhere.turns
            waiting = asyncio.create_task(until_idle(other.house.hub.state, ME, ["apollo"], "all", 20))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            event.set()
            assert not (await waiting).timed_out


async def test_what_a_lost_node_has_said_counts_no_more(postgres_url: str) -> None:
    async with two(postgres_url) as (one, other):
        state = other.house.hub.state
        with held(one):
            await one.house.send(content="hi", target="apollo")
            await eventually(lambda: bool(state.elsewhere.turns))
            await one.die()
            await eventually(lambda: not state.elsewhere)


async def test_the_last_that_a_stopping_node_says_is_that_its_turns_have_ended(postgres_url: str) -> None:
    async with together.node(postgres_url, "b") as other:
        async with together.node(postgres_url, "a") as one:
            await one.until_it_sees("b")
            one.driver.scripts.append([Text("one "), asyncio.Event(), Done()])
            await one.house.send(content="hi", target="apollo")
            async with polling(other):
                await eventually(lambda: len(other.house.hub.state.elsewhere.turns) == 1)
        [row] = [row for row in await other.store.find(KIND) if row.id == "a"]
        assert (Board.of(row).turns, Board.of(row).running) == ((), 0)


async def test_turns_at_all_nodes_count_towards_a_callers_limit(postgres_url: str) -> None:
    guest = Principal.person("guest")
    async with two(postgres_url, limits=Limits(turns_at_once=1)) as (one, other):
        with held(one):
            accepted = await one.house.hub.execute(guest, SendMessage("hi", "apollo"))
            await eventually(lambda: bool(other.house.hub.state.elsewhere.turns))
            with pytest.raises(TooManyTurns):
                await other.house.hub.execute(guest, SendMessage("hi", "apollo"))
        assert isinstance(await ended(one, accepted), TurnCompleted)


async def test_a_turn_ends_when_its_last_reader_at_another_node_has_left(postgres_url: str) -> None:
    async with two(postgres_url, limits=Limits(abandon_after=0.3)) as (one, other):
        with held(one):
            accepted = await one.house.send(content="hi", target="apollo")
            with other.house.hub.state.presence.reader(accepted.session_id):
                await eventually(lambda: one.house.hub.state.presence.readers(accepted.session_id) == 1)
                with one.house.hub.state.presence.reader(accepted.session_id):
                    pass
                await asyncio.sleep(0.6)
                assert one.house.hub.state.runners
            await eventually(lambda: not one.house.hub.state.runners)
            assert isinstance(await ended(one, accepted), TurnInterrupted)


async def test_a_turn_ends_though_its_reader_at_another_node_came_and_left_at_once(postgres_url: str) -> None:
    async with two(postgres_url, limits=Limits(abandon_after=0.0)) as (one, other):
        with held(one):
            accepted = await one.house.send(content="hi", target="apollo")
            with other.house.hub.state.presence.reader(accepted.session_id):
                pass
            await eventually(lambda: not one.house.hub.state.runners)
            assert isinstance(await ended(one, accepted), TurnInterrupted)


async def test_a_turn_continues_when_its_reader_changes_the_node(postgres_url: str) -> None:
    async with two(postgres_url, limits=Limits(abandon_after=0.5)) as (one, other):
        with held(one):
            accepted = await one.house.send(content="hi", target="apollo")
            with other.house.hub.state.presence.reader(accepted.session_id):
                await eventually(lambda: one.house.hub.state.presence.readers(accepted.session_id) == 1)
            with one.house.hub.state.presence.reader(accepted.session_id):
                await asyncio.sleep(1.8)
                assert one.house.hub.state.runners
            with other.house.hub.state.presence.reader(accepted.session_id):
                await asyncio.sleep(1.8)
                assert one.house.hub.state.runners
        assert isinstance(await ended(one, accepted), TurnCompleted)


async def test_a_reader_at_another_node_gets_each_event_though_one_here_needs_only_the_end(
    postgres_url: str,
) -> None:
    async with two(postgres_url) as (one, other):
        here, there = one.house.hub.state.presence, other.house.hub.state.presence
        with held(one):
            accepted = await one.house.send(content="hi", target="apollo")
            id = accepted.session_id
            with here.waiting_for_end(id), here.reader(id):
                assert not here.wants_each_event(id)
                with there.reader(id):
                    await eventually(lambda: here.wants_each_event(id))
                with there.waiting_for_end(id), there.reader(id):
                    await eventually(lambda: not here.wants_each_event(id) and here.readers(id) == 2)


async def attended_at(node: Node) -> str:
    session = await node.execute(StartSession("apollo", attended=True))
    return str(session.id)


async def state_of(node: Node, id: str) -> SessionState:
    row = await node.store.get("session", id)
    assert row is not None
    return session_of(row).state


async def test_a_session_ends_when_no_client_at_any_node_keeps_it_open(postgres_url: str) -> None:
    async with two(postgres_url, limits=Limits(detach_ttl=0.5)) as (one, other):
        id = await attended_at(one)
        row = await one.store.get("session", id)
        assert row is not None
        session = session_of(row)
        with lease(other.house.hub.state, session):
            await eventually(lambda: id in one.house.hub.state.leases)
            with lease(one.house.hub.state, session):
                pass
            await asyncio.sleep(1.0)
            assert await state_of(one, id) is SessionState.ACTIVE
            head = await one.store.head(id)
            assert head is not None
        await one.house.until(id, head.position, SessionStateChanged)
        assert await state_of(one, id) is SessionState.STOPPED


async def test_the_sessions_that_clients_of_a_lost_node_kept_open_end(postgres_url: str) -> None:
    async with two(postgres_url, limits=Limits(detach_ttl=0.3)) as (one, other):
        id = await attended_at(one)
        row = await one.store.get("session", id)
        assert row is not None
        with lease(other.house.hub.state, session_of(row)):
            await eventually(lambda: id in one.house.hub.state.leases)
            head = await one.store.head(id)
            assert head is not None
            await other.die()
            await one.house.until(id, head.position, SessionStateChanged)
            assert await state_of(one, id) is SessionState.STOPPED


async def test_a_client_keeps_its_session_open_when_another_node_takes_the_session_over(
    postgres_url: str,
) -> None:
    async with some(postgres_url, "a", "b", "c", limits=Limits(detach_ttl=2.5)) as (lost, heir, third):
        id = await attended_at(lost)
        row = await lost.store.get("session", id)
        assert row is not None
        with lease(third.house.hub.state, session_of(row)):
            await eventually(lambda: id in lost.house.hub.state.leases)
            await lost.die()
            await eventually(lambda: id in heir.taken)
            await expect_clients(heir.house.hub.state, heir.taken)
            await eventually(lambda: id in heir.house.hub.state.leases)
            await asyncio.sleep(3.0)
            head = await heir.store.head(id)
            assert head is not None
            assert await state_of(heir, id) is SessionState.ACTIVE
        await heir.house.until(id, head.position, SessionStateChanged)
        assert await state_of(heir, id) is SessionState.STOPPED


async def test_a_socket_is_read_where_it_was_left_at_another_node(postgres_url: str) -> None:
    async with two(postgres_url) as (one, other):
        socket = await one.execute(OpenSocket("apollo"))
        head = await one.store.head(socket.session_id)
        assert head is not None
        for number in range(3):
            await ended(one, await one.house.send(content=f"{number}", session_id=socket.session_id))
        here, there = one.house.hub.state, other.house.hub.state
        await sockets.mark_read(here, socket, Position(head.epoch, 3))
        assert (await sockets.unread(there, socket)).seq == 3
        await sockets.mark_read(there, socket, Position(head.epoch, 5))
        assert (await sockets.unread(here, socket)).seq == 5
        await sockets.mark_read(here, socket, Position(head.epoch, 4))
        assert (await sockets.unread(there, socket)).seq == 5
        with there.read_marks.reading(socket.session_id):
            there.live.board_changed.notify()
            await eventually(lambda: here.elsewhere.socket_readers(socket.session_id) == 1)
            [shown] = [each for each in await sockets.active_sockets(here, ME) if each.id == socket.id]
            assert shown.readers == 1


async def test_each_node_expires_and_removes_only_what_it_owns(postgres_url: str) -> None:
    limits = Limits(session_ttl=2.0, retention=Retention(max_age_days=1e-9))
    async with two(postgres_url, limits=limits) as (one, other):
        id = (await one.execute(StartSession("apollo"))).id
        await ended(one, await one.house.send(content="hi", session_id=id))
        await eventually(lambda: not one.house.hub.state.runners)
        await asyncio.sleep(2.1)
        here, there = one.house.hub.state, other.house.hub.state
        assert await states.expire_old(there) == 0
        await retention.sweep(there)
        assert await state_of(one, id) is SessionState.ACTIVE
        assert await states.expire_old(here) == 1
        there.upkeep.retained = float("-inf")
        await retention.sweep(there)
        assert await one.store.get("session", id) is not None
        await retention.sweep(here)
        assert await one.store.get("session", id) is None


async def test_a_node_writes_its_row_only_if_there_are_others_and_at_most_four_times_a_second(
    postgres_url: str,
) -> None:
    async with several(postgres_url, "a") as (alone,):
        await ended(alone, await alone.house.send(content="hi", target="apollo"))
        await asyncio.sleep(0.3)
        assert await alone.store.find(KIND) == []
    async with two(postgres_url) as (one, other):
        clock, versions = asyncio.get_running_loop().time, set[int]()
        began = clock()
        while clock() < began + 2.0:
            await ended(one, await one.house.send(content="hi", target="apollo"))
            versions |= {row.version for row in await other.store.find(KIND) if row.id == "a"}
        assert 1 <= len(versions) <= 4 * (clock() - began) + 2
