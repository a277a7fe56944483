"""What a hub shows and counts of the turns and programs that other nodes have said they run."""

from __future__ import annotations

import asyncio

import pytest
from tests.rhetor.hub.house import ME, OTHER, House, house

from rhetor.domain.command import SendMessage
from rhetor.domain.event import Cause
from rhetor.domain.machine import JoinedMachine
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.program import Exit, Program, ProgramStatus
from rhetor.errors import MachineOffline, TooManyTurns
from rhetor.hub.catalog.boards import Board, Departure, Elsewhere, ProgramNow, TurnNow
from rhetor.hub.core.limits import Limits
from rhetor.hub.fanout import presence
from rhetor.hub.fanout.presence import Presence, RemoteReader
from rhetor.hub.forwarding.activity import ActivityWatch
from rhetor.hub.programs import now
from rhetor.hub.programs.instances import reports
from rhetor.hub.programs.ownership import person_behind
from rhetor.hub.programs.status import status_of, visible_to
from rhetor.hub.turns.attribution import cause_of, passed_through
from rhetor.hub.turns.caller_limits import turns_of

pytestmark = pytest.mark.anyio

CODER = Peer("coder", PeerKind.TOOL, "stdio", "writes code", program=Program(("coder",), "/"))


def a_turn(peer: str = "apollo", **more: object) -> TurnNow:
    fields = {"state": "running", "doing": "answers", "via": (), "onward": Cause("m_1"), **more}
    return TurnNow("t_1", "s_1", ME.subject, ME.subject, peer, 5, **fields)  # type: ignore[arg-type]


def a_program(owner: str = ME.subject, state: str = "busy", **more: object) -> ProgramNow:
    status = ProgramStatus(state, "it works", 7)  # type: ignore[arg-type]
    return ProgramNow("coder", "coder", owner, "s_2", 4711, status, **more)  # type: ignore[arg-type]


def says(home: House, **board: object) -> None:
    home.hub.state.elsewhere = Elsewhere({"b": Board(**board)})  # type: ignore[arg-type]


def test_a_board_is_the_same_after_it_was_stored() -> None:
    board = Board(
        2,
        ("p_1",),
        (a_turn(onward=Cause("m_1", caller="you")),),
        {"me": 1},
        (a_program(details={"model": "big"}, scores={"code": 0.5}),),
        gone={"coder": (Exit(exit_code=3), 9)},
        reads={"a": {"s_3": True}},
        left=(Departure("s_4", 3),),
    )
    assert Board.of(board.row("b")) == board


async def test_turns_of_other_nodes_are_counted_and_shown() -> None:
    async with house() as home:
        state = home.hub.state
        watch = ActivityWatch(state, ME, None)
        says(home, running=1, turns=(a_turn(state="waiting", doing="asks"),), callers={"me": 1})
        apollo = state.peers.get("apollo")
        assert (now.running_turns(state, apollo), now.waiting_turns(state, apollo)) == (1, 1)
        assert status_of(state, apollo).state == "blocked"
        assert [turn.turn_id for turn in now.turns_now(state)] == ["t_1"]
        assert now.turn_of_session(state, "s_1") == a_turn(state="waiting", doing="asks")
        assert turns_of(state, "me") == 1
        assert (await watch.read()).turns == 1
        says(home)
        assert now.turn_of_session(state, "s_1") is None
        assert status_of(state, apollo).state == "idle"


async def test_a_callers_limit_counts_the_turns_at_all_nodes() -> None:
    async with house(limits=Limits(turns_at_once=2)) as home:
        says(home, running=2, callers={"guest": 2})
        guest = Principal.person("guest")
        with pytest.raises(TooManyTurns):
            await home.hub.execute(guest, SendMessage("hi", "apollo"))
        says(home, running=1, callers={"guest": 1})
        await home.hub.answer(await home.hub.execute(guest, SendMessage("hi", "apollo")))


async def test_a_program_of_another_node_is_shown_as_it_is_there() -> None:
    async with house(peers=[CODER]) as home:
        state = home.hub.state
        says(home, programs=(a_program(scores={"code": 0.5}),))
        assert status_of(state, CODER) == ProgramStatus("busy", "it works", 7)
        assert visible_to(state, OTHER, CODER, status_of(state, CODER)).evidence == ""
        assert [each.pid for each in now.own_programs(state, ME, "coder")] == [4711]
        assert now.own_programs(state, OTHER, "coder") == []
        assert reports(state) == {"coder": {"code": 0.5}}
        assert person_behind(state, "agent:coder") == ME.subject
        says(home, gone={"coder": (Exit(exit_code=3), 9)})
        assert status_of(state, CODER) == ProgramStatus("gone", "it exited with 3", 9)


async def test_a_program_that_answers_at_another_node_is_known_with_what_its_message_passed_through() -> None:
    async with house() as home:
        says(home, turns=(a_turn("coder", via=("apollo",), onward=Cause("m_0", caller="you")),))
        program = Principal("agent:coder", frozenset({"agent"}))
        assert passed_through(home.hub.state, program) == ("apollo", "coder")
        assert cause_of(home.hub.state, program) == Cause("m_0", caller="you")


async def test_a_machine_that_is_connected_to_another_node_is_online_but_not_reached_from_here() -> None:
    async with house() as home:
        machines = home.hub.state.machines
        machines.put(JoinedMachine("box", "", 1, 2, why="it was switched off"))
        peer = Peer("coder@box", PeerKind.TOOL, "stdio", "", program=CODER.program, machine="box")
        assert machines.offline_status(peer) is not None
        machines.elsewhere = {"box": 8}
        assert (machines.is_online("box"), machines.is_here(peer), machines.since("box")) == (True, False, 8)
        assert machines.offline_status(peer) is None
        with pytest.raises(MachineOffline, match="connected to another node"):
            machines.require_online(peer)


async def test_readers_at_other_nodes_count_as_readers_here() -> None:
    left: list[str] = []
    readers = Presence(0.02, left.append)
    with readers.waiting_for_end("s"), readers.reader("s"):
        assert not readers.wants_each_event("s")
        readers.set_remote({RemoteReader("b", "s", only_end=True)}, ())
        assert not readers.wants_each_event("s")
        readers.set_remote({RemoteReader("b", "s", only_end=False)}, ())
        assert readers.wants_each_event("s")
    await asyncio.sleep(0.1)
    assert left == []
    readers.set_remote(frozenset(), ())
    await asyncio.sleep(0.1)
    assert left == ["s"]
    assert readers.wants_each_event("s")
    readers.close()


async def test_a_reader_that_left_before_this_node_knew_of_it_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "SETTLE_SECONDS", 0.02)
    left: list[str] = []
    readers = Presence(10.0, left.append)
    with readers.reader("read here"):
        readers.set_remote({RemoteReader("b", "long", only_end=False)}, ())
        readers.set_remote(frozenset(), {"short", "long", "read here"})
        await asyncio.sleep(0.1)
        assert sorted(left) == ["long", "short"]
    readers.close()
