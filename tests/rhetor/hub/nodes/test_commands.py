"""Commands for sessions of another node, over one real database."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable

import asyncpg
import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import ME, OTHER
from tests.rhetor.hub.nodes.together import eventually, node, several

from rhetor.domain import command as c
from rhetor.domain.command import Command
from rhetor.domain.event import MessageAccepted, TurnCancelled, TurnCompleted, TurnInterrupted
from rhetor.domain.mailbox import CommandRequested
from rhetor.domain.output import Done, Text
from rhetor.domain.principal import AGENT as AGENT_SCOPE
from rhetor.domain.principal import Principal
from rhetor.domain.session import SessionState
from rhetor.errors import FenceLost, Forbidden, NodeLost, NotFound, RhetorError, SessionOver, StreamElsewhere
from rhetor.hub.core.limits import Limits
from rhetor.hub.nodes import mailbox
from rhetor.store.base import Draft
from rhetor.store.postgres.wake_ups import SWEEP

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
AGENT = Principal("agent:apollo", frozenset({AGENT_SCOPE}), local=True)


async def test_a_message_runs_at_the_node_of_its_session_from_any_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        first = await north.house.send(target="apollo", content="one", context_window=5)
        assert isinstance(await north.house.end_of(first), TurnCompleted)
        second = await south.house.send(session_id=first.session_id, content="two")
        end = await south.house.end_of(second)
        assert isinstance(end, TurnCompleted)
        assert end.text == "apollo heard: two"
        assert north.driver.heard == [("apollo", "one"), ("apollo", "two")]
        assert south.driver.heard == []
        assert await south.nodes.owner(first.session_id) == "north"


async def test_a_new_session_begins_at_the_node_that_got_the_command(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        there = await south.execute(c.StartSession("apollo", name="plans"))
        assert await north.nodes.owner(there.id) == "south"
        sent = await north.house.send(session_id="plans", content="by its name")
        assert sent.session_id == there.id
        assert isinstance(await north.house.end_of(sent), TurnCompleted)
        assert south.driver.heard == [("apollo", "by its name")]


async def test_a_session_is_interrupted_and_stopped_from_another_node(postgres_url: str) -> None:
    waits = [Text("so far"), asyncio.Event(), Done()]
    async with (
        node(postgres_url, "north", waits, waits) as north,
        node(postgres_url, "south") as south,
    ):
        await south.until_it_sees("north")
        first = await north.house.send(target="apollo", content="one", context_window=5)
        second = await south.house.send(session_id=first.session_id, content="two")
        await south.execute(c.InterruptSession(first.session_id))
        assert isinstance(await south.house.end_of(first), TurnInterrupted)
        stopped = await south.execute(c.StopSession(first.session_id))
        assert stopped.state is SessionState.STOPPED
        assert isinstance(await south.house.end_of(second), TurnCancelled)
        with pytest.raises(SessionOver):
            await south.house.send(session_id=first.session_id, content="three")


REJECTED: list[tuple[Principal, Callable[[str], Command]]] = [
    (OTHER, lambda id: c.SendMessage("hi", session_id=id)),
    (ME, lambda id: c.SendMessage("", session_id=id)),
    (ME, lambda id: c.SendMessage("a\ud800", session_id=id)),
    (ME, lambda id: c.SendMessage("hi", session_id=id, model="a/b\ud800")),
    (ME, lambda id: c.SendMessage("hi", "athena", session_id=id)),
    (ME, lambda id: c.SendMessage("x" * 2_000_000, session_id=id)),
    (ME, lambda id: c.RestoreSession(id, "no such checkpoint")),
    (ME, lambda id: c.AnswerPermission(id, "r_1", "allow")),
    (Principal("me", frozenset({"read"})), lambda id: c.StopSession(id)),
    (ME, lambda id: c.SaveSession(id, name="taken")),
    (ME, lambda id: c.UnshareSession(id, "nobody")),
    (ME, lambda id: c.ForkSession(id, cwd="/tmp")),
]


async def test_a_client_gets_the_error_that_it_would_get_at_the_owner(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo"))
        await north.execute(c.StartSession("apollo", name="taken"))
        for who, command in REJECTED:
            raised = []
            for each in (north, south):
                with pytest.raises(RhetorError) as error:
                    await each.execute(command(session.id), who)
                raised.append(error.value)
            here, there = raised
            assert type(there) is type(here), command(session.id)
            assert vars(there) == vars(here)


async def test_a_repeated_command_is_executed_once_at_whichever_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo", command_id="k1"))
        assert (await south.execute(c.StartSession("apollo", command_id="k1"))).id == session.id
        message = c.SendMessage("once", session_id=session.id, command_id="k2")
        found = await asyncio.gather(*(each.house.send(message) for each in (north, south) * 5))
        assert len({accepted.turn_id for accepted in found}) == 1
        assert sorted(accepted.replayed for accepted in found) == [False] + [True] * 9
        assert isinstance(await south.house.end_of(found[0]), TurnCompleted)
        fresh = c.SendMessage("once too", "apollo", command_id="k3")
        found = await asyncio.gather(*(each.house.send(fresh) for each in (north, south) * 5))
        assert len({accepted.turn_id for accepted in found}) == 1
        assert isinstance(await south.house.end_of(found[0]), TurnCompleted)
        heard = [*north.driver.heard, *south.driver.heard]
        assert sorted(heard) == [("apollo", "once"), ("apollo", "once too")]


async def test_commands_of_many_clients_at_three_nodes_each_run_once(postgres_url: str) -> None:
    async with several(postgres_url, "a", "b", "c") as nodes:
        sessions = [await each.execute(c.StartSession("apollo")) for each in nodes]
        sent = [
            each.house.send(session_id=session.id, content=f"{each.nodes.own} {number}")
            for number in range(20)
            for each in nodes
            for session in sessions
        ]
        accepted = await asyncio.gather(*sent)
        for one in accepted:
            assert isinstance(await nodes[0].house.end_of(one), TurnCompleted)
        for each, session in zip(nodes, sessions, strict=True):
            assert len(each.driver.heard) == 60
            assert len(set(each.driver.heard)) == 60
            assert await nodes[0].nodes.owner(session.id) == each.nodes.own


async def test_a_command_whose_node_is_lost_says_so_and_can_be_sent_again(postgres_url: str) -> None:
    async with (
        node(postgres_url, "south") as south,
        node(postgres_url, "north") as north,
    ):
        await south.until_it_sees("north")
        session = await north.execute(c.StartSession("apollo"))
        message = c.SendMessage("hello", session_id=session.id, command_id="k")
        await north.die()
        with pytest.raises(NodeLost) as lost:
            await south.house.send(message)
        assert lost.value.data["node"] == "north"
        assert lost.value.retryable
        again = await south.house.send(message)  # waits until south has taken over
        assert isinstance(await south.house.end_of(again), TurnCompleted)
        assert south.driver.heard == [("apollo", "hello")]
        assert session.id in south.taken


async def test_a_node_that_was_fenced_off_calls_no_peer_for_a_message(postgres_url: str) -> None:
    async with node(postgres_url, "south", seconds=60) as south:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute("UPDATE nodes SET fence = fence + 1")
        await connection.close()
        with pytest.raises(FenceLost):
            await south.house.send(c.SendMessage("hello", "apollo"))
        assert south.driver.heard == []


async def test_a_node_that_starts_again_does_not_execute_what_its_earlier_start_was_asked(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "south") as south, node(postgres_url, "north") as north:
        await south.until_it_sees("north")
        session = await north.execute(c.StartSession("apollo"))
        await north.die()
        sending = asyncio.create_task(south.house.send(session_id=session.id, content="for the first"))
        await asyncio.sleep(0.3)
        async with node(postgres_url, "north") as again:
            with pytest.raises(NodeLost):
                await sending
            await again.until_it_sees("south")
            sent = await south.house.send(session_id=session.id, content="for the second")
            assert isinstance(await south.house.end_of(sent), TurnCompleted)
            assert again.driver.heard == [("apollo", "for the second")]


async def test_a_node_alone_executes_a_command_that_was_sent_to_the_wrong_one(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo"))
        with pytest.raises(StreamElsewhere):
            await south.house.hub.execute_here(ME, c.SendMessage("hi", session_id=session.id))
        assert south.leases.fence is not None
        south.nodes._known[session.id] = "south", south.leases.fence.number  # as if it had been south's
        sent = await south.house.send(session_id=session.id, content="hi")
        assert isinstance(await south.house.end_of(sent), TurnCompleted)
        assert north.driver.heard == [("apollo", "hi")]


async def test_what_does_not_exist_is_rejected_at_any_node(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (_, south):
        for command in (c.StopPlan("p_none"), c.CloseSocket("apollo-9"), c.InterruptSession("s_none")):
            with pytest.raises(NotFound):
                await south.execute(command)
        with pytest.raises(Forbidden):
            await south.house.hub.execute(Principal("me", frozenset({"read"})), c.StopPlan("p_none"))


async def test_the_way_through_the_log_does_not_wait_for_the_sweep(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo"))
        took = []
        for _ in range(20):
            began = time.perf_counter()
            await south.execute(c.InterruptSession(session.id))
            took.append(time.perf_counter() - began)
        assert statistics.median(took) < SWEEP / 5


async def test_commands_wait_while_the_node_of_a_session_is_stopped_and_another_takes_over(
    postgres_url: str,
) -> None:
    async with node(postgres_url, "south") as south:
        async with node(postgres_url, "north") as north:
            await south.until_it_sees("north")
            session = await north.execute(c.StartSession("apollo"))
            assert not isinstance(await south.house.send(session_id=session.id, content="0"), Exception)

            async def send_until_taken_over() -> int:
                number = 0
                while not south.driver.heard:
                    number += 1
                    accepted = await south.house.send(session_id=session.id, content=str(number))
                    await south.house.end_of(accepted)
                return number

            sending = asyncio.create_task(send_until_taken_over())
            await eventually(lambda: len(north.driver.heard) > 3)
        sent = await sending
        heard = [content for _, content in (*north.driver.heard, *south.driver.heard)]
        assert heard == [str(number) for number in range(sent + 1)]


async def test_what_nodes_send_each_other_is_not_readable_and_not_kept(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "CLEAR_SECONDS", 0.05)
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo"))
        sent = await south.house.send(session_id=session.id, content="secret words")
        await south.house.end_of(sent)
        for each in (north, south):
            stream = f"node:{each.nodes.own}"
            with pytest.raises(NotFound):
                await each.house.hub.may_read(ME, stream)
            async with asyncio.timeout(10):
                while True:
                    head = await each.store.head(stream)
                    if head is not None and head.head and head.earliest == head.head + 1:
                        break
                    await asyncio.sleep(0.05)
        assert {hit.stream for hit in await north.store.search("secret")} == {session.id}


async def test_a_program_that_calls_from_another_node_passes_on_what_it_is_answering(
    postgres_url: str,
) -> None:
    asked = asyncio.Event()
    async with (
        node(postgres_url, "north") as north,
        node(postgres_url, "south", [asked, Text("done"), Done()], limits=Limits(hops=3)) as south,
    ):
        await south.until_it_sees("north")
        await north.until_it_sees("south")
        theirs = await north.execute(c.StartSession("athena"), AGENT)
        question = await south.house.send(target="apollo", content="ask athena")
        await eventually(lambda: bool(south.driver.heard))
        await south.execute(c.SendMessage("on its behalf", session_id=theirs.id), AGENT)
        asked.set()
        await south.house.end_of(question)
        accepted = next(p for p in await south.house.log(theirs.id) if isinstance(p, MessageAccepted))
        assert accepted.via == ("apollo",)
        assert accepted.cause
        assert accepted.cause.origin == question.message_id


async def test_a_node_goes_on_after_an_event_that_it_does_not_know(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo"))
        for command, body in (("OfLater", {}), ("StopSession", {"session_id": 5})):
            request = CommandRequested("c_x", "south", 1, {"subject": "me"}, command, body)
            await south.store.commit("node:north", [Draft(replace(request, fence=north.nodes._fence))])
            await south.store.commit("node:north", [Draft(replace(request, fence=-1))])
        sent = await south.house.send(session_id=session.id, content="hi")
        assert isinstance(await south.house.end_of(sent), TurnCompleted)


async def test_an_error_that_repeats_invalid_text_arrives(postgres_url: str) -> None:
    async with several(postgres_url, "north", "south") as (north, south):
        session = await north.execute(c.StartSession("apollo"))
        for each in (north, south):
            with pytest.raises(NotFound):
                await each.execute(c.RestoreSession(session.id, "\ud800"))
