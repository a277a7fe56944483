"""Permission requests of coding agents: answered by rules or a person, or withdrawn, once and in the log."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.rhetor.drivers.programs.host.hosting import hosting
from tests.rhetor.hub.agent_programs import agents
from tests.rhetor.hub.usage_counts import folded_usage, stored_usage

from rhetor.domain.command import AnswerPermission, InterruptSession, SendMessage
from rhetor.domain.event import (
    Cause,
    Event,
    OutputDelta,
    Payload,
    PeerStatusChanged,
    PermissionAnswered,
    PermissionAsked,
    Position,
    TurnCompleted,
    TurnEnd,
    TurnInterrupted,
    UsageReported,
)
from rhetor.domain.permission import Rules
from rhetor.domain.principal import Principal
from rhetor.domain.usage import Amounts
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.errors import StateConflict
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.hub import Hub
from rhetor.hub.sessions.send import Accepted, send
from rhetor.hub.turns.answers import open_permissions
from rhetor.store.base import follow

pytestmark = pytest.mark.anyio

SECONDS = 60.0
ME = Principal.person("me", local=True)
# for each agent: a tool to allow, a tool to deny, and its words for "allowed" and "denied"
TOOLS = {
    "claude": ("Read", "Bash", "allow", "deny"),
    "codex": ("apply_patch", "shell", "accept", "decline"),
    "acp": ("read", "execute", "once", "no"),
}
RULES = Rules(allow=("Read", "apply_*", "read"), deny=("Bash", "shell", "exec*"))


@asynccontextmanager
async def hosts_here() -> AsyncIterator[Hosts]:
    with tempfile.TemporaryDirectory(prefix="rt") as folder:
        async with asyncio.timeout(SECONDS), hosting(Path(folder)) as hosts:
            yield hosts


async def say(hub: Hub, peer: str, content: str) -> Accepted:
    found: Accepted = await hub.execute(ME, SendMessage(content=content, target=peer))
    return found


async def end_of(hub: Hub, accepted: Accepted) -> TurnCompleted:
    end, _ = await hub.answer(accepted)
    assert isinstance(end, TurnCompleted), end
    return end


async def log_of(hub: Hub, stream: str) -> list[Payload]:
    head = await hub.state.store.head(stream)
    assert head is not None
    records = await hub.state.store.page(stream, Position(head.epoch, 0), 1000)
    return [record.event.payload for record in records]


async def questions(hub: Hub, accepted: Accepted) -> list[tuple[str, str | None, str]]:
    """Return tool, chosen option and answerer of each request in the log; each must be answered once."""
    log = await log_of(hub, accepted.session_id)
    asked = [p for p in log if isinstance(p, PermissionAsked)]
    answers = [p for p in log if isinstance(p, PermissionAnswered)]
    assert [p.request_id for p in asked] == [p.request_id for p in answers]
    return [(a.tool, b.option_id, b.by) for a, b in zip(asked, answers, strict=True)]


async def event(hub: Hub, accepted: Accepted, kind: type[Payload]) -> Event:
    """Wait for the first event with a payload of this type."""
    async for records in follow(hub.state.store, accepted.session_id, accepted.after):
        for record in records:
            if isinstance(record.event.payload, kind):
                return record.event
    raise AssertionError("following does not end")


async def asked(hub: Hub, accepted: Accepted) -> PermissionAsked:
    payload = (await event(hub, accepted, PermissionAsked)).payload
    assert isinstance(payload, PermissionAsked)
    return payload


async def choose(hub: Hub, accepted: Accepted, request: PermissionAsked, option_id: str) -> None:
    await hub.execute(ME, AnswerPermission(accepted.session_id, request.request_id, option_id))


@pytest.mark.parametrize("peer", TOOLS)
async def test_permission_rules_allow_and_deny_requests_without_asking(peer: str) -> None:
    granted, refused, yes, no = TOOLS[peer]
    async with hosts_here() as hosts, agents(hosts, RULES) as hub:
        first = await say(hub, peer, f"ask {granted}")
        assert (await end_of(hub, first)).text == yes
        second = await say(hub, peer, f"ask {refused}")
        assert (await end_of(hub, second)).text == no
        assert await questions(hub, second) == [(granted, yes, "policy"), (refused, no, "policy")]
        assert await open_permissions(hub.state, ME) == []
        statuses = [p.status for p in await log_of(hub, HUB_STREAM) if isinstance(p, PeerStatusChanged)]
        assert "busy" in statuses and "blocked" not in statuses


@pytest.mark.parametrize("peer", TOOLS)
async def test_a_request_that_no_rule_matches_waits_for_a_person(peer: str) -> None:
    granted, _, yes, _ = TOOLS[peer]
    async with hosts_here() as hosts, agents(hosts, Rules(allow=("Other", f"{granted}x*"))) as hub:
        accepted = await say(hub, peer, f"ask {granted}")
        request = await asked(hub, accepted)
        assert [each.id for each in await open_permissions(hub.state, ME)] == [request.request_id]
        await choose(hub, accepted, request, yes)
        assert (await end_of(hub, accepted)).text == yes
        assert await questions(hub, accepted) == [(granted, yes, "me")]


@pytest.mark.parametrize("peer", TOOLS)
async def test_a_withdrawn_request_is_closed_once_and_rejects_answers(peer: str) -> None:
    tool = TOOLS[peer][0]
    async with hosts_here() as hosts, agents(hosts) as hub:
        accepted = await say(hub, peer, f"withdraw {tool}")
        request = await asked(hub, accepted)
        instance = next(iter(hub.state.instances.values()))
        await instance.running.link.write(b"{}\n", "text")  # type: ignore[attr-defined]
        assert (await end_of(hub, accepted)).text.startswith("withdrawn")
        assert await questions(hub, accepted) == [(tool, None, peer)]
        with pytest.raises(StateConflict):
            await choose(hub, accepted, request, request.options[0].option_id)
        assert instance.status.state != "blocked"


async def test_an_answer_counts_if_the_request_is_withdrawn_later() -> None:
    async with hosts_here() as hosts, agents(hosts) as hub:
        accepted = await say(hub, "claude", "withdraw Read")
        request = await asked(hub, accepted)
        await choose(hub, accepted, request, "deny")  # the agent withdraws the request at its next input
        assert (await end_of(hub, accepted)).text == "withdrawn"
        assert await questions(hub, accepted) == [("Read", "deny", "me")]


@pytest.mark.parametrize(("peer", "reason"), [("claude", "length"), ("acp", "length"), ("codex", "stop")])
async def test_the_finish_reason_of_an_agents_answer_is_logged(peer: str, reason: str) -> None:
    async with hosts_here() as hosts, agents(hosts) as hub:
        assert (await end_of(hub, await say(hub, peer, "speak"))).finish_reason == reason


async def test_the_usage_of_an_interrupted_turn_is_logged() -> None:
    async with hosts_here() as hosts, agents(hosts) as hub:
        accepted = await say(hub, "claude", "work")
        await event(hub, accepted, OutputDelta)
        await hub.execute(ME, InterruptSession(accepted.session_id))
        usage = await event(hub, accepted, UsageReported)
        assert (usage.turn_id, usage.payload) == (accepted.turn_id, UsageReported("m", 7, 2, 0))
        ends = [
            type(payload)
            for payload in await log_of(hub, accepted.session_id)
            if isinstance(payload, TurnEnd)
        ]
        assert ends == [TurnInterrupted]
        sums, sessions = await stored_usage(hub.state.store)
        assert (sums, sessions) == await folded_usage(hub.state.store)
        whole = sum(sums.values(), Amounts())
        assert whole == Amounts(turns=1, unpriced=1, input_tokens=7, output_tokens=2)


async def test_the_usage_of_an_interrupted_question_of_an_agent_counts_for_the_caller_behind_it() -> None:
    async with hosts_here() as hosts, agents(hosts) as hub:
        cause = Cause("m_1", caller="boss", project="web")  # the message of an agent that answers the boss
        accepted = await send(hub.state, ME, SendMessage("work", "claude"), cause=cause)
        await event(hub, accepted, OutputDelta)
        await hub.execute(ME, InterruptSession(accepted.session_id))
        await event(hub, accepted, UsageReported)
        sums, _ = await stored_usage(hub.state.store)
        assert {(cell.caller, cell.project) for cell in sums} == {("boss", "web")}
