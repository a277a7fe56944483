"""Turns that pass from one coding agent to another: each keeps its own memory of its conversation."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from time import time

import pytest
from msgspec.structs import replace
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.rhetor.hub import agent_programs
from tests.rhetor.hub.agent_programs import ACP, CODEX, agents
from tests.rhetor.hub.house import house
from tests.rhetor.hub.turns.test_answers import asked, choose

from rhetor.domain.budget import Budget
from rhetor.domain.command import SendMessage
from rhetor.domain.event import TurnCompleted
from rhetor.domain.output import Done, Output, Remembered, Spooled, Text
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.program import Program
from rhetor.domain.rule_commands import PutBudget
from rhetor.domain.turn import Turn
from rhetor.domain.usage import Source
from rhetor.hub.catalog.programs import memory_of
from rhetor.hub.catalog.usage import Meter
from rhetor.hub.hub import Hub
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.turns.pending import PendingRequests
from rhetor.hub.turns.turn_run import Closing, TurnRun

pytestmark = pytest.mark.anyio
ME = Principal.person("me", local=True)
# the message `limit` meets a limit
LIMITED = CODEX.replace(
    '        told = "nothing"\n',
    f"""        told = "nothing"
        if what == "work" and number == 101:
            item = {{"id": "w", "type": "agentMessage", "text": "half of it"}}
            tell({{"method": "item/completed", "params": {{"threadId": "t1", "item": item}}}})
            what = "limit"
        elif what != "limit" and "work" in said["params"]["input"][0]["text"]:
            told = said["params"]["input"][0]["text"]
        if what == "limit":
            tell({{"method": "account/rateLimits/updated", "params": {{"rateLimits": {{
                "primary": {{"usedPercent": 100, "resetsAt": {int(time()) + 3600}}}}}}}}})
            error = {{"message": "no more", "codexErrorInfo": "usageLimitExceeded"}}
            failed = {{"id": turn, "status": "failed", "error": error}}
            tell({{"method": "turn/completed", "params": {{"threadId": "t1", "turn": failed}}}})
            continue
""",
)


async def answer(hub: Hub, content: str) -> tuple[Accepted, str]:
    accepted: Accepted = await hub.execute(ME, SendMessage(content=content, target="codex"))
    end, _ = await hub.answer(accepted)
    assert isinstance(end, TurnCompleted), end
    return accepted, end.text


async def test_each_agent_of_a_conversation_keeps_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    codex = (LIMITED, agent_programs.PROTOCOLS["codex"][1])
    monkeypatch.setitem(agent_programs.PROTOCOLS, "codex", codex)
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(60), hosting(Path(folder)) as hosts, agents(hosts) as hub:
            peers = [
                replace(p, on_pause="handover:claude" if p.name == "codex" else "") for p in hub.state.peers
            ]
            hub.state.peers.configure(peers, {})
            _, told = await answer(hub, "hello")
            assert told == "nothing"
            for _ in range(2):  # the second time, the program of the other agent runs already
                accepted, told = await answer(hub, "limit")
                assert told == "nothing"
            session = accepted.session_id
            assert (await memory_of(hub.state.store, f"codex/{session}"))["session_id"] == "t1"
            assert (await memory_of(hub.state.store, f"claude/{session}"))["session_id"] == "c1"


async def test_a_memory_that_is_stored_after_the_handover_belongs_to_the_agent_that_had_it() -> None:
    async with house() as home:
        state, first = home.hub.state, await home.send(target="apollo", content="hi", context_window=4)
        await home.end_of(first)
        turn = Turn("t_1", "m_1", "apollo")
        turn.start()
        pending = PendingRequests(state, first.session_id, "me", turn)

        async def outputs() -> AsyncGenerator[Output, None]:
            pending.instance = "one"
            yield Spooled("h_1", 1, (Text("stored at once"),))
            yield Spooled("h_1", 2, (Text("stored a moment later"), Remembered({"session_id": "its own"})))
            pending.instance = "two"
            yield Spooled("h_2", 1, (Remembered({"session_id": "another"}),))
            yield Done()

        async def closing() -> Closing:
            return Closing()

        meter = Meter(state.usage, Source("apollo", "me"), "t_1", state.ids.now)
        run = TurnRun(
            state.store, state.background, first.session_id, turn, None, lambda *_: closing, pending, meter
        )
        await run.run(outputs())
        kept = [(await memory_of(state.store, key))["session_id"] for key in ("one", "two")]
        assert kept == ["its own", "another"]


@pytest.mark.parametrize("on_pause", ["ask", "handover:acp"])
async def test_an_answer_that_a_limit_interrupted_is_continued(
    monkeypatch: pytest.MonkeyPatch, on_pause: str
) -> None:
    acp = ACP.replace('told = "nothing"', 'told = said["params"]["prompt"][0]["text"]')
    monkeypatch.setitem(agent_programs.PROTOCOLS, "codex", (LIMITED, agent_programs.PROTOCOLS["codex"][1]))
    monkeypatch.setitem(agent_programs.PROTOCOLS, "acp", (acp, agent_programs.PROTOCOLS["acp"][1]))
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(60), hosting(Path(folder)) as hosts, agents(hosts) as hub:
            hub.state.peers.configure([replace(p, on_pause=on_pause) for p in hub.state.peers], {})
            accepted: Accepted = await hub.execute(ME, SendMessage(content="work", target="codex"))
            if on_pause == "ask":
                request = await asked(hub, accepted)
                # the configuration was reloaded
                hub.state.peers.configure([replace(p, on_pause="continue") for p in hub.state.peers], {})
                await choose(hub, accepted, request, "now")
            end, _ = await hub.answer(accepted)
            assert isinstance(end, TurnCompleted), end
            half, heading, *rest = end.text.split("\n\n")
            assert half == "half of it"
            if on_pause == "ask":
                assert heading.startswith("A usage limit interrupted your answer")
            else:
                assert heading.startswith("Codex began to answer the message below")
                assert "half of it" in rest[0]
            assert rest[-1] == "work"


async def test_a_turn_is_not_handed_over_to_an_agent_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(agent_programs.PROTOCOLS, "codex", (LIMITED, agent_programs.PROTOCOLS["codex"][1]))
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(60), hosting(Path(folder)) as hosts, agents(hosts) as hub:
            peers = [replace(p, on_pause="handover:missing") for p in hub.state.peers]
            program = Program(("no-such-agent",), "/")
            missing = Peer("missing", PeerKind.TOOL, "claude", program=program)
            hub.state.peers.configure([*peers, missing], {})
            accepted: Accepted = await hub.execute(ME, SendMessage(content="limit", target="codex"))
            request = await asked(hub, accepted)
            assert [option.option_id for option in request.options] == ["continue", "now", "stop"]


async def test_a_budget_does_not_fall_back_to_an_agent_that_is_not_installed() -> None:
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(60), hosting(Path(folder)) as hosts, agents(hosts) as hub:
            program = Program(("no-such-agent",), "/")
            missing = Peer("missing", PeerKind.TOOL, "claude", program=program)
            hub.state.peers.configure([*hub.state.peers, missing], {})
            await hub.execute(ME, PutBudget(Budget("peer.codex", tokens_per_day=0, fallback="missing")))
            accepted: Accepted = await hub.execute(ME, SendMessage(content="hi", target="codex"))
            request = await asked(hub, accepted)
            assert (request.tool, request.options[0].option_id) == ("budget", "continue")
