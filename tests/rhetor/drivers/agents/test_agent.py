"""An agent that is a script with a small protocol of its own, under a real host."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import decode, encode

from rhetor.codec.lines import MAX_LINE_BYTES
from rhetor.domain.command import EndProgram, SendMessage
from rhetor.domain.event import (
    Event,
    PermissionAnswered,
    PermissionAsked,
    PermissionOption,
    Position,
    TurnCompleted,
    TurnEnd,
    TurnFailed,
)
from rhetor.domain.output import Done, Output, Permission, Plain, Record, Remembered, Spooled, Text
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.program import Launch, Program
from rhetor.domain.questions import Answers
from rhetor.drivers.agents import agent
from rhetor.drivers.agents.acp.protocol import Acp
from rhetor.drivers.agents.agent import AgentProgram, last_words
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.agents.failures import Interrupted
from rhetor.drivers.agents.protocol import AgentProtocol, Decoded, Opening
from rhetor.drivers.agents.records import object_of, record_of
from rhetor.drivers.base import Attachment, Prompt, RunningProgram, SavedState
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.errors import ProgramEnded, TurnFailure
from rhetor.hub.core.limits import Limits
from rhetor.hub.hub import Hub
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.store.memory import MemoryStore
from tests.rhetor.drivers.programs.host.hosting import PYTHON, hosting

pytestmark = pytest.mark.anyio

SECONDS = 60.0
LONG = 17 << 20
ME = Principal.person("me", local=True)

# acts on each message; its only argument is the conversation that it continues
SCRIPT = """
import json, sys
def tell(**said):
    sys.stdout.write(json.dumps(said) + "\\n")
    sys.stdout.flush()
def heard():
    return json.loads(sys.stdin.readline())
earlier = sys.argv[1] if len(sys.argv) > 1 else ""
while True:
    said = heard().get("say")
    if said == "long":
        sys.stdout.write("x" * (17 << 20) + "\\n")
        tell(text="behind it")
    elif said == "malformed":
        sys.stdout.flush()
        sys.stdout.buffer.write(b"\\xff no line\\n\\n[1, 2\\n\\r\\n{}\\n")
        tell(text="and on")
    elif said == "ask":
        tell(ask="r1")
        tell(text=str(heard().get("option")))
    elif said == "wait":
        tell(text="One ")
        tell(text="two ") if heard() == {"go": True} else tell(text="stopped")
    elif said == "deaf":
        tell(text="I work")
        while "go" not in heard():
            pass
    elif said in ("fail", "complain"):
        tell(text="half an ans")
        if said == "complain":
            print("first", file=sys.stderr, flush=True)
            heard()
        print("the disk is full", file=sys.stderr)
        sys.exit(3)
    elif said == "session":
        tell(session="c1")
        tell(text=f"earlier: {earlier}")
    elif said == "lost":
        tell(lost=True)
        continue
    else:
        tell(text=f"heard {said}")
    tell(end=True)
"""


class Words(AgentProtocol):
    """The script's protocol: one object per line, each with one key."""

    def arguments(self) -> tuple[str, ...]:
        return tuple(self.memory.values())

    def opening_lines(self) -> tuple[bytes, ...]:
        return ()

    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        self.asked = asked

    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        self.stopped = False
        return (encode({"say": content}),)

    def decode(self, line: bytes) -> Decoded:
        found = object_of(line)
        record = record_of(line, found)
        if not found:
            return Decoded((record,))
        if "end" in found:
            stopped = getattr(self, "stopped", False)
            return Decoded((record,), ended=True, failure=Interrupted("the script") if stopped else None)
        if "lost" in found:
            self.memory.pop("session_id")
            return Decoded((record,), ended=True, failure=TurnFailure("it is lost", retryable=False))
        if "ask" in found:
            options = (PermissionOption("yes", "Yes", "allow_once"),)
            return Decoded((record, Permission(found["ask"], "shell", {"command": "ls"}, options)))
        if "session" in found:
            self.memory["session_id"] = found["session"]
        return Decoded((record, Text(found["text"])) if "text" in found else (record,))

    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
        return (encode({"answer": request_id, "option": option_id}),)

    def interrupt(self) -> tuple[bytes, ...]:
        self.stopped = True
        return (encode({"stop": True}),)


PEER = Peer("script", PeerKind.TOOL, "words", program=Program((*PYTHON, SCRIPT), "/"))
LAUNCH = Launch("/", {"PATH": "/usr/bin:/bin"})


@asynccontextmanager
async def hosts_here() -> AsyncIterator[Hosts]:
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(SECONDS), hosting(Path(folder)) as hosts:
            yield hosts


@asynccontextmanager
async def started(hosts: Hosts, seen_states: list[str] | None = None) -> AsyncIterator[AgentProgram]:
    """Start the script. `seen_states`: each of its states is appended."""
    kept = [] if seen_states is None else seen_states
    running = await Agents(hosts, Words).start(
        PEER, "h1", LAUNCH, {}, lambda changed: kept.append(changed.status.state)
    )
    assert isinstance(running, AgentProgram)
    try:
        yield running
    finally:
        await running.aclose()


@asynccontextmanager
async def script() -> AsyncIterator[AgentProgram]:
    async with hosts_here() as hosts, started(hosts) as running:
        yield running


def start_turn(running: AgentProgram, content: str) -> AsyncGenerator[Output, None]:
    return running.conversation().send(Prompt(content), ())


def flat(output: Output) -> tuple[Plain, ...]:
    return output.outputs if isinstance(output, Spooled) else (output,)


async def outputs_of(turn: AsyncGenerator[Output, None], kept: list[Plain] | None = None) -> list[Plain]:
    """Return all outputs of a turn, without the records of decoded lines."""
    found = [] if kept is None else kept
    async with aclosing(turn):
        async for output in turn:
            found += [o for o in flat(output) if not (isinstance(o, Record) and o.raw is None)]
    return found


async def until(turn: AsyncGenerator[Output, None], wanted: type[Plain]) -> list[Plain]:
    """Return the outputs of a turn up to the first one of that kind."""
    found: list[Plain] = []
    async for output in turn:
        found += flat(output)
        if any(isinstance(o, wanted) for o in found):
            return found
    raise AssertionError(f"no {wanted.__name__} came, but {found}")


async def test_an_overlong_line_is_reported_as_cut_and_the_next_one_is_read() -> None:
    async with script() as running:
        outputs = await outputs_of(start_turn(running, "long"))
        cut, *rest = outputs
        assert isinstance(cut, Record) and cut.raw is not None
        assert (cut.record, base64.b64decode(cut.raw)) == ({"cut": LONG}, b"x" * 1024)
        assert (LONG > MAX_LINE_BYTES, rest) == (True, [Text("behind it"), Done()])
        assert await outputs_of(start_turn(running, "more")) == [Text("heard more"), Done()]


async def test_malformed_lines_are_recorded_raw() -> None:
    async with script() as running:
        outputs = await outputs_of(start_turn(running, "malformed"))
        raw = [base64.b64decode(o.raw) for o in outputs if isinstance(o, Record) and o.raw is not None]
        assert raw == [b"\xff no line", b"[1, 2"]
        assert outputs[-2:] == [Text("and on"), Done()]


async def test_a_turn_continues_when_its_permission_is_answered() -> None:
    seen_states: list[str] = []
    async with hosts_here() as hosts, started(hosts, seen_states) as running:
        turn = start_turn(running, "ask")
        asked = (await until(turn, Permission))[-1]
        assert isinstance(asked, Permission)
        assert (asked.request_id, running.status.state) == ("r1", "blocked")
        await running.conversation().answer("r1", "yes")
        assert await outputs_of(turn) == [Text("yes"), Done()]
        assert seen_states == ["busy", "blocked", "busy", "idle"]


async def test_an_agent_that_ignores_an_interrupt_gets_no_message_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent, "STOP_SECONDS", 0.05)
    async with script() as running:
        turn = start_turn(running, "deaf")
        await until(turn, Text)
        await turn.aclose()  # the agent is interrupted
        with pytest.raises(
            TurnFailure, match="script is still busy with the turn that was interrupted"
        ) as refused:
            await outputs_of(start_turn(running, "next"))
        assert refused.value.retryable
        await running.link.write(b'{"go": true}\n', "text")
        async with running.feed.listening(), aclosing(running.listen()) as heard:
            async for spooled in heard:
                if running.feed.claimed or any(o == Record({"end": True}) for o in spooled.outputs):
                    break
        assert await outputs_of(start_turn(running, "next")) == [Text("heard next"), Done()]


async def test_an_interrupted_agent_gets_the_next_message_once_its_turn_has_ended() -> None:
    async with script() as running:
        turn = start_turn(running, "wait")
        await until(turn, Text)
        await running.interrupt()
        rest: list[Plain] = []
        with pytest.raises(Interrupted):
            await outputs_of(turn, rest)
        assert rest == [Text("stopped")]
        assert await outputs_of(start_turn(running, "next")) == [Text("heard next"), Done()]


async def test_an_agent_that_exits_during_a_turn_fails_it_with_its_last_stderr_line() -> None:
    async with script() as running:
        turn = start_turn(running, "complain")
        kept = await until(turn, Text)
        while Text("first\n", "stderr") not in kept:
            kept += flat(await anext(turn))
        await running.link.write(b"{}\n", "text")  # later output is read after the process has ended
        with pytest.raises(ProgramEnded) as ended:
            await outputs_of(turn, kept)
        assert ended.value.detail == "script: it exited with 3; it wrote: the disk is full"
        assert ended.value.data == {"exit_code": 3, "signal": None}
        told = [o for o in kept if isinstance(o, Text)]
        complaints = [Text("first\n", "stderr"), Text("the disk is full\n", "stderr")]
        assert sorted(told, key=lambda o: o.channel) == [Text("half an ans"), *complaints]
        assert running.status.state == "gone"


async def test_another_hub_continues_a_turn_from_the_end_of_the_log() -> None:
    async with hosts_here() as hosts:
        async with started(hosts) as first:
            turn = start_turn(first, "wait")
            await until(turn, Text)
            offset = first.feed.offset
            first.release()  # as if the hub was killed: the program is not told
            await turn.aclose()
        left = SavedState(offset, {"session_id": "c1"}, in_turn=True)
        second = await Agents(hosts, Words).find(PEER, "h1", left, lambda changed: None)
        assert isinstance(second, AgentProgram)
        assert second.pid == first.pid
        await second.link.write(b'{"go": true}\n', "text")
        remembered = [o for o in await outputs_of(second.resume_turn()) if not isinstance(o, Remembered)]
        assert remembered == [Text("two "), Done()]
        assert await outputs_of(start_turn(second, "next")) == [Text("heard next"), Done()]
        await second.aclose()


async def test_a_request_pending_from_an_earlier_hub_blocks_its_turn_until_answered() -> None:
    async with hosts_here() as hosts:
        async with started(hosts) as first:
            turn = start_turn(first, "ask")
            await until(turn, Permission)
            offset = first.feed.offset
            first.release()
            await turn.aclose()
        left = SavedState(offset, in_turn=True, asked={"r1": {"command": "ls"}})
        seen_states: list[str] = []
        blocked = asyncio.Event()

        def changed(running: RunningProgram) -> None:
            seen_states.append(running.status.state)
            if seen_states[-1] == "blocked":
                blocked.set()

        second = await Agents(hosts, Words).find(PEER, "h1", left, changed)
        assert isinstance(second, AgentProgram)
        async with asyncio.TaskGroup() as tasks:
            rest = tasks.create_task(outputs_of(second.resume_turn()))
            await blocked.wait()
            await second.answer("r1", "yes")
        assert rest.result() == [Text("yes"), Done()]
        assert seen_states == ["blocked", "busy", "idle"]
        await second.aclose()


@asynccontextmanager
async def hub_of(hosts: Hosts, **limits: float) -> AsyncIterator[Hub]:
    async with open_hub(
        MemoryStore(clock=lambda: 1_700_000_000_000),
        Peers([PEER], {}),
        {},
        limits=Limits(**limits),  # type: ignore[arg-type]
        program_drivers={"words": Agents(hosts, Words)},
        launches=lambda peer, cwd: LAUNCH,
    ) as hub:
        yield hub


async def answered(hub: Hub, content: str) -> tuple[TurnEnd, list[Event]]:
    """Send a message; return how its turn ended, and the log of its session."""
    accepted = await hub.execute(ME, SendMessage(content=content, target="script"))
    end, _ = await hub.answer(accepted)
    head = await hub.state.store.head(accepted.session_id)
    assert head is not None and isinstance(end, TurnEnd)
    records = await hub.state.store.page(accepted.session_id, Position(head.epoch, 0), 1000)
    return end, [record.event for record in records]


async def test_an_expired_request_is_denied_and_the_turn_continues() -> None:
    async with hosts_here() as hosts, hub_of(hosts, permission_seconds=0.05) as hub:
        end, log = await answered(hub, "ask")
        assert isinstance(end, TurnCompleted) and end.text == "None"
        asked = [e.payload for e in log if isinstance(e.payload, PermissionAsked | PermissionAnswered)]
        assert [type(payload) for payload in asked] == [PermissionAsked, PermissionAnswered]
        assert asked[1] == PermissionAnswered("r1", None, "expiry")


async def test_the_agents_memory_is_passed_to_the_next_process() -> None:
    async with hosts_here() as hosts, hub_of(hosts) as hub:
        first, _ = await answered(hub, "session")
        await hub.execute(ME, EndProgram("script"))
        second, _ = await answered(hub, "session")
        assert isinstance(first, TurnCompleted) and isinstance(second, TurnCompleted)
        assert (first.text, second.text) == ("earlier: ", "earlier: c1")
        failed, _ = await answered(hub, "fail")
        assert isinstance(failed, TurnFailed) and failed.code == "program_ended"
        third, _ = await answered(hub, "session")  # also after a process that ended by itself
        assert isinstance(third, TurnCompleted) and third.text == "earlier: c1"


async def test_an_agent_that_lost_its_conversation_is_replaced_by_a_new_process() -> None:
    async with hosts_here() as hosts, hub_of(hosts) as hub:
        pids: set[int] = set()
        for _ in range(3):
            known, _ = await answered(hub, "session")
            assert isinstance(known, TurnCompleted) and known.text == "earlier: "
            pids |= {instance.running.pid for instance in hub.state.instances.values()}
            lost, _ = await answered(hub, "lost")
            assert isinstance(lost, TurnFailed) and lost.detail == "it is lost"
        assert len(pids) == 3


async def test_after_a_lost_conversation_the_next_message_starts_a_new_one() -> None:
    known = Opening("/", {"session_id": "s1"})
    lost = "; the next message begins a new conversation"

    claude = ClaudeCode(known)
    assert claude.arguments()[-2:] == ("--resume", "s1")
    claude.prompt("hello")
    no_conversation = {"type": "result", "subtype": "error_during_execution", "is_error": True}
    heard = claude.decode(encode(no_conversation | {"errors": ["No conversation found with session ID: s1"]}))
    assert heard.ended and heard.failure is not None and heard.failure.detail.endswith(lost)
    assert "--resume" not in ClaudeCode(Opening("/", claude.memory)).arguments()

    codex = Codex(known)
    resume = decode(codex.opening_lines()[-1])
    codex.prompt("hello")
    error = {"code": -32600, "message": "no rollout found for thread id s1"}
    heard = codex.decode(encode({"id": resume["id"], "error": error}))
    assert heard.ended and heard.failure is not None and heard.failure.detail.endswith(lost)
    assert [resume["method"], decode(codex.prompt("again")[0])["method"]] == ["thread/resume", "thread/start"]

    gemini = {"code": -32603, "message": "Internal error", "data": {"details": "No previous sessions found"}}
    copilot = {"code": -32002, "message": "Resource not found: Session s1 not found"}
    for error in (gemini, copilot):
        acp = Acp(known)
        acp.opening_lines()
        acp.prompt("hello")
        can = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        load = decode(acp.decode(encode({"id": "initialize", "result": can})).writes[0])
        heard = acp.decode(encode({"id": "session", "error": error}))
        assert heard.ended and heard.failure is not None and heard.failure.detail.endswith(lost)
        assert [load["method"], decode(acp.prompt("again")[0])["method"]] == ["session/load", "session/new"]


@pytest.mark.parametrize(
    ("text", "is_whole", "expected"),
    [
        ("one\nthe disk is full\n", True, "the disk is full"),
        ("half of a key", False, "of a key"),
        ("half\nwhole line", False, "whole line"),
        ("cut", False, ""),
        (f"{'a ' * 149}bcd", True, f"{'a ' * 148}a …"),
        ("k" * 301, True, " …"),
    ],
)
def test_only_whole_words_of_the_last_stderr_line_are_reported(
    text: str, is_whole: bool, expected: str
) -> None:
    assert last_words(text, is_whole=is_whole) == expected
