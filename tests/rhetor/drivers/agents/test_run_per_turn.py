"""One process per turn: Cursor's driver, a real host, and a program that imitates `cursor-agent`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rhetor.domain.output import Done, Output, Text, ToolResult, ToolUse
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Program
from rhetor.drivers.agents.acp.cursor import Cursor
from rhetor.drivers.agents.agent import AgentProgram
from rhetor.drivers.agents.failures import Interrupted
from rhetor.drivers.programs.host.folder import start_time
from rhetor.errors import TurnFailure
from tests.rhetor.drivers.agents.talking import answer, heard, house, send, until
from tests.rhetor.drivers.programs.host.hosting import ended

pytestmark = pytest.mark.anyio

STAND_IN = Path(__file__).with_name("cursor_agent.py")
PEER = Peer("cursor", PeerKind.TOOL, "cursor", program=Program((sys.executable, str(STAND_IN)), "/"))


@asynccontextmanager
async def cursor() -> AsyncIterator[AgentProgram]:
    async with house(PEER, Cursor) as here:
        running = await here.start()
        try:
            yield running
        finally:
            await running.aclose()


async def pids_of_turn(turn: AsyncGenerator[Output, None]) -> list[int]:
    """Return the pids of a waiting turn: its process and that process's child."""
    first: Text = await until(turn, Text)
    return [int(pid) for pid in first.text.split()]


async def wait_until_ended(pids: list[int]) -> None:
    for pid in pids:
        if (start := start_time(pid)) is not None:
            await ended(pid, start)


async def test_each_message_has_its_own_process_which_continues_the_chat() -> None:
    async with cursor() as running:
        first, second = await answer(running, "one"), await answer(running, "-x")
        assert (first.partition(", ")[2], second.partition(", ")[2]) == ("earlier []", "earlier ['one']")
        assert first.split()[1] != second.split()[1]
        assert (running.ended, running.status.state) == (None, "idle")


async def test_another_supervisor_continues_the_chat() -> None:
    async with house(PEER, Cursor) as here:
        first = await here.start()
        await answer(first, "one")
        memory = dict(first._memory)
        await first.end()
        second = await here.start(memory)
        assert (await answer(second, "two")).endswith("earlier ['one']")
        for running in (first, second):
            await running.aclose()


async def test_tool_calls_are_reported() -> None:
    async with cursor() as running:
        assert await heard(send(running, "run")) == [
            ToolUse("c1", "shell", {"command": "ls"}, "agent"),
            ToolResult("c1", {"stdout": "a\n"}),
            Text("a is there, earlier []"),
            Done(),
        ]


async def test_a_failed_turn_has_its_reason_and_the_next_one_is_answered() -> None:
    async with cursor() as running:
        with pytest.raises(TurnFailure, match=r"^cursor failed: no credit is left$"):
            await heard(send(running, "fail"))
        assert (await answer(running, "next")).endswith("earlier []")


async def test_a_message_that_is_not_a_valid_argument_fails_only_its_turn() -> None:
    async with cursor() as running:
        with pytest.raises(TurnFailure, match=r"^cursor failed: .* cannot be run: .*too long"):
            await heard(send(running, "x" * (1 << 18)))
        with pytest.raises(TurnFailure, match=r"^cursor failed: .* cannot be run: embedded null byte"):
            await heard(send(running, "a\0b"))
        assert (await answer(running, "next")).endswith("earlier []")


async def test_an_interrupt_ends_the_process_and_its_children() -> None:
    async with cursor() as running:
        turn = send(running, "wait")
        pids = await pids_of_turn(turn)
        assert len(pids) == 2
        await running.interrupt()
        with pytest.raises(Interrupted):
            await heard(turn)
        await wait_until_ended(pids)
        assert (await answer(running, "next")).endswith("earlier []")


async def test_ending_the_program_during_a_turn_leaves_no_process() -> None:
    async with cursor() as running:
        turn = send(running, "wait")
        pids = await pids_of_turn(turn)
        await running.end()
        await wait_until_ended(pids)
        await turn.aclose()


async def test_another_hub_continues_a_turn() -> None:
    async with house(PEER, Cursor) as here:
        first = await here.start()
        turn = send(first, "wait")
        pids = await pids_of_turn(turn)
        second = await here.found(first)
        assert second.pid == first.pid
        os.kill(pids[1], signal.SIGKILL)
        assert await heard(second.resume_turn()) == [Text(" done, earlier []"), Done()]
        assert (await answer(second, "next")).endswith("earlier ['wait']")
        await second.aclose()


@pytest.mark.long
async def test_a_process_that_lingers_after_its_result_is_ended_before_the_next() -> None:
    async with cursor() as running:
        lingering = int((await answer(running, "linger")).split()[1].rstrip(","))
        assert (await answer(running, "next")).endswith("earlier ['linger']")
        assert start_time(lingering) is None
