"""Continue's driver, a real host, and a program that imitates `cn serve` on pipes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rhetor.domain.output import Done, Permission, Record, Spooled, Text, ToolResult, ToolUse
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.program import Program
from rhetor.drivers.agents.agent import AgentProgram
from rhetor.drivers.agents.continue_dev.serve import ARGUMENTS, ContinueServe
from rhetor.drivers.agents.failures import Interrupted
from rhetor.errors import ProgramEnded, TurnFailure
from tests.needs import needs
from tests.rhetor.drivers.agents.talking import answer, heard, house, send, until

STAND_IN = Path(__file__).with_name("serve_agent.cjs")
PEER = Peer("continue", PeerKind.TOOL, "continue", program=Program(("node", str(STAND_IN)), "/"))

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def node() -> str:
    """The program that runs the stand-in; see `tests.needs`."""
    return needs("node")


@asynccontextmanager
async def serving() -> AsyncIterator[AgentProgram]:
    async with house(PEER, ContinueServe) as here:
        running = await here.start()
        try:
            yield running
        finally:
            await running.aclose()


def listening(pid: int) -> list[str]:
    """Return the listening sockets of a process."""
    fds = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
    own = {fd[8:-1] for fd in fds if fd.startswith("socket:")}
    found: list[str] = []
    for table, state, inode, listens in (
        ("tcp", 3, 9, "0A"),
        ("tcp6", 3, 9, "0A"),
        ("unix", 3, 6, "00010000"),
    ):
        rows = [row.split() for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]]
        found += [f"{table} {row[inode]}" for row in rows if row[state] == listens and row[inode] in own]
    return found


async def test_messages_are_answered_without_a_listening_socket() -> None:
    async with serving() as running:
        assert await answer(running, "hello\u2028there") == "heard hello\u2028there"
        assert await answer(running, "x" * 300_000) == "heard 300000"
        assert (listening(running.pid), running.status.state) == ([], "idle")


async def test_programs_of_the_agent_do_not_see_its_start_options() -> None:
    async with serving() as running:
        assert json.loads(await answer(running, "env")) == {"NODE_OPTIONS": None, "FORCE_NO_TTY": None}


@pytest.mark.parametrize(("option", "done"), [("allow", "made"), ("deny", "left"), (None, "left")])
async def test_a_permission_request_is_answered(option: str | None, done: str) -> None:
    async with serving() as running:
        turn = send(running, "ask")
        asked: Permission = await until(turn, Permission)
        assert (asked.tool, running.status.state) == ("Bash", "blocked")
        await running.answer(asked.request_id, option)
        assert await heard(turn) == [Text(done), Done()]


async def test_the_output_of_a_tool_is_reported_once_and_complete() -> None:
    async with serving() as running:
        turn = send(running, "tool")
        await until(turn, ToolUse)
        before = running.feed.offset
        assert await heard(turn) == [ToolResult("c1", "all"), Text("heard tool"), Done()]
        assert running.feed.offset - before < 50_000  # the partial outputs were ten times as large


async def test_the_end_of_an_interrupted_turn_does_not_end_the_next_one() -> None:
    async with serving() as running:
        turn = send(running, "wait")
        await until(turn, Record)
        await running.interrupt()
        with pytest.raises(Interrupted):
            await heard(turn)
        # the interrupted turn reports a moment later once more that nothing runs
        assert await heard(send(running, "slow")) == [Text("heard slow"), Done()]


async def test_another_process_continues_the_conversation() -> None:
    async with house(PEER, ContinueServe) as here:
        first = await here.start()
        await answer(first, "one")
        memory = dict(first._memory)
        await first.end()
        second = await here.start(memory)
        assert await heard(send(second, "two")) == [Text("heard two"), Done()]
        (kept,) = (here.home / "sessions").iterdir()
        assert [each["message"]["content"] for each in json.loads(kept.read_text())] == [
            *("one", "heard one"),
            *("two", "heard two"),
        ]
        for running in (first, second):
            await running.aclose()


async def test_after_a_lost_conversation_the_next_message_starts_a_new_one() -> None:
    async with house(PEER, ContinueServe) as here:
        first = await here.start()
        await answer(first, "one")
        await first.end()
        shutil.rmtree(here.home / "sessions")
        second = await here.start(dict(first._memory))
        with pytest.raises(TurnFailure) as lost:
            await heard(send(second, "two"))
        assert lost.value.detail.endswith("; the next message begins a new conversation")
        assert second.ended is not None
        third = await here.start(dict(second._memory))
        assert await answer(third, "three") == "heard three"
        for running in (first, second, third):
            await running.aclose()


async def test_another_hub_continues_a_turn() -> None:
    async with house(PEER, ContinueServe) as here:
        first = await here.start()
        turn = send(first, "wait")
        await until(turn, Record)
        second = await here.found(first)
        assert second.pid == first.pid
        await second.link.write(b'{"path": "/go"}\n', "text")
        assert await heard(second.resume_turn()) == [Text("heard wait"), Done()]
        assert await answer(second, "next") == "heard next"
        await second.aclose()


async def test_an_agent_that_fails_to_start_reports_the_reason() -> None:
    async with house(PEER, ContinueServe) as here:
        (here.home / "broken").touch()
        running = await here.start()
        with pytest.raises(ProgramEnded) as ended:
            await heard(send(running, "hello"))
        why = "cn did not start: the configuration is broken"
        assert ended.value.detail == f"continue: it exited with 1; it wrote: {why}"
        await running.aclose()


def test_without_the_module_the_agent_exits_and_does_not_listen(node: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [node, str(STAND_IN), *ARGUMENTS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"HOME": str(tmp_path)},
        timeout=60,
    )
    assert b"Server started" not in ran.stdout


async def test_text_that_the_agent_prints_for_people_is_left_out() -> None:
    async with serving() as running:
        kept: list[Record] = []
        async for output in send(running, "hello"):
            if isinstance(output, Spooled):
                kept += [one for one in output.outputs if isinstance(one, Record) and one.raw is not None]
        assert kept == []
