"""Three hubs on one database: clients, turns and programs when one of them is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rhetor.store.postgres.leases import LEASE_SECONDS
from tests.nodes.hubs import Nodes, running
from tests.postgres.cluster import VERSIONS
from tests.postgres.cluster import running as cluster_of_its_own
from tests.provider.process import ProviderProcess
from tests.provider.script import Script
from tests.scale import scaled

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
TAKE_OVER = 15.0
READERS = scaled(30, 3)
Event = dict[str, Any]


def model(provider: ProviderProcess) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "test-model"}


@pytest.fixture
async def nodes(tmp_path: Path, postgres_url: str, provider: ProviderProcess) -> AsyncIterator[Nodes]:
    async with running(tmp_path, postgres_url, 3, **model(provider)) as found:
        yield found


class Readers:
    """Clients that follow a session, each at another node first, and continue at the next one."""

    def __init__(self, nodes: Nodes, session: str) -> None:
        self.seen: list[list[Event]] = [[] for _ in range(READERS)]
        self._changed = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read(nodes, session, n)) for n in range(READERS)]

    async def _read(self, nodes: Nodes, session: str, number: int) -> None:
        async for event in nodes.follow(session, first=number):
            self.seen[number].append(event)
            self._changed.set()

    async def all_have(self, log: Sequence[Event]) -> None:
        """Wait until each client has seen exactly this log."""
        async with asyncio.timeout(60):
            while any(len(each) < len(log) for each in self.seen):
                self._changed.clear()
                await self._changed.wait()
        for task in self._tasks:
            task.cancel()
        assert all(each == log for each in self.seen)


async def ended(nodes: Nodes, session: str, turn: str) -> list[Event]:
    """Wait until the turn has ended; return the whole log, whose numbers have no gap."""
    log: list[Event] = []
    async for event in nodes.follow(session):
        log.append(event)
        if event.get("turn_id") == turn and event["type"] in ENDS:
            break
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    return log


def runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    async with asyncio.timeout(30):
        while runs(pid):  # noqa: ASYNC110  # it is no child of this process
            await asyncio.sleep(0.05)


ENDS = ("turn.completed", "turn.interrupted", "turn.failed")


def ends(log: Sequence[Event]) -> list[tuple[str, str]]:
    return [(event["turn_id"], event["type"]) for event in log if event["type"] in ENDS]


async def test_another_node_takes_over_and_clients_continue_with_their_cursors(
    nodes: Nodes, provider: ProviderProcess, gate: str
) -> None:
    first, second, third = nodes.nodes
    session = await nodes.session()
    readers = Readers(nodes, session)
    provider.script(Script(chunks=("first ", "never "), hold={1: gate}))
    turn = await nodes.send(session, "hi", "k1")
    await asyncio.to_thread(provider.reached, gate)
    first.signal(signal.SIGKILL)
    began = time.monotonic()
    assert (
        await nodes.takes_over(third, first) is second
    )  # it has had its lease for longer than the third one
    assert time.monotonic() - began < TAKE_OVER
    shown = await third.aish("status")
    assert f"at {first.address}, lost\n" in shown and f"at {second.address}, leads, 1 session\n" in shown
    assert f"at {third.address}, this one, 0 sessions" in shown
    provider.script(Script(chunks=("after",)))
    assert await nodes.send(session, "hi", "k1") == turn  # the same command is not executed again
    later = await nodes.send(session, "again", "k2")
    log = await ended(nodes, session, later)
    assert ends(log) == [(turn, "turn.interrupted"), (later, "turn.completed")]
    await readers.all_have(log)
    # the node that was killed comes back, and the one that has its session now ends in order
    await first.ended()
    await first.start()
    assert (await nodes.ask("GET", f"/api/v2/sessions/{session}", at=first))["head"] == len(log)
    second.signal(signal.SIGTERM)
    assert await second.ended() == 0
    began = time.monotonic()
    assert await nodes.takes_over(first, second) is third
    assert time.monotonic() - began < 5  # its lease was released
    assert (await nodes.ask("GET", f"/api/v2/sessions/{session}"))["head"] == len(log)
    provider.script(Script(chunks=("once more",)))
    assert ends(await ended(nodes, session, await nodes.send(session, "and now", "k3")))[-1][1] == ENDS[0]


async def test_turns_that_wait_at_a_lost_node_run_at_the_lead(
    nodes: Nodes, provider: ProviderProcess, gate: str
) -> None:
    first, _, third = nodes.nodes
    session = await nodes.session(at=third)
    provider.script(Script(chunks=("first ", "never "), hold={1: gate}), Script(chunks=("second",)))
    turn = await nodes.send(session, "hi", "k1")
    await asyncio.to_thread(provider.reached, gate)
    later = await nodes.send(session, "again", "k2")
    third.signal(signal.SIGKILL)
    assert await nodes.takes_over(first, third) is first
    log = await ended(nodes, session, later)
    assert ends(log) == [(turn, "turn.interrupted"), (later, "turn.completed")]


@pytest.mark.parametrize("stopped", [0, 1], ids=["the-lead", "another-node"])
async def test_late_writes_of_a_node_that_stood_still_are_refused_counted_and_shown(
    nodes: Nodes, provider: ProviderProcess, gate: str, stopped: int
) -> None:
    owner, lead = nodes.nodes[stopped], nodes.nodes[1 - stopped]
    session = await nodes.session(at=owner)
    readers = Readers(nodes, session)
    provider.script(Script(chunks=("first ", "late "), hold={1: gate}))
    turn = await nodes.send(session, "hi", "k1")
    await asyncio.to_thread(provider.reached, gate)
    owner.signal(signal.SIGSTOP)
    began = time.monotonic()
    assert await nodes.takes_over(nodes.nodes[2], owner) is lead
    assert time.monotonic() - began < TAKE_OVER
    second_gate = f"{gate}-later"
    provider.script(Script(chunks=("after", " it"), hold={1: second_gate}))
    sending = asyncio.create_task(nodes.send(session, "again", "k2"))
    await asyncio.to_thread(provider.reached, second_gate)
    # the old owner, which has lost its lease, receives the rest of its answer while the new one runs a turn
    provider.release(gate)
    owner.signal(signal.SIGCONT)
    assert await owner.ended() == 1
    assert "this node has lost its lease" in (owner.folder / "stderr").read_text()
    provider.release(second_gate)
    later = await sending
    log = await ended(nodes, session, later)
    assert ends(log) == [(turn, "turn.interrupted"), (later, "turn.completed")]
    assert "late" not in str(log)
    assert len([call for call in provider.calls() if call["path"].endswith("/completions")]) == 2
    await readers.all_have(log)
    known = await nodes.known(lead)
    assert known[owner.address]["refused_writes"] > 0
    assert known[lead.address] == {
        "name": known[lead.address]["name"],
        "address": lead.address,
        "live": True,
        "leads": True,
        "own": True,
        "sessions": 1,
        "refused_writes": 0,
    }


async def test_a_node_that_nobody_took_over_goes_on_after_it_stood_still(
    tmp_path: Path, postgres_url: str, provider: ProviderProcess, gate: str
) -> None:
    async with running(tmp_path, postgres_url, 1, **model(provider)) as nodes:
        [only] = nodes.nodes
        session = await nodes.session()
        provider.script(Script(chunks=("first ", "second"), hold={1: gate}))
        turn = await nodes.send(session, "hi", "k1")
        await asyncio.to_thread(provider.reached, gate)
        only.signal(signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + 1)
        provider.release(gate)
        only.signal(signal.SIGCONT)
        assert ends(await ended(nodes, session, turn)) == [(turn, "turn.completed")]
        assert (await nodes.known(only))[only.address]["refused_writes"] == 0


async def test_programs_survive_a_node_that_comes_back_within_its_lease_and_are_lost_with_it(
    nodes: Nodes,
) -> None:
    first = nodes.nodes[0]
    argv = ["/bin/sh", "-c", "echo ready; exec cat"]
    body = {"name": "clerk", "kind": "stdio", "argv": argv, "cwd": "/", "env": {"PATH": os.environ["PATH"]}}
    await nodes.announce(first, body)
    pid = (await nodes.ask("GET", "/api/v2/ai/clerk/status"))["pid"]
    try:
        first.signal(signal.SIGKILL)
        await first.ended()
        await first.start()
        status = await nodes.ask("GET", "/api/v2/ai/clerk/status")
        assert status["pid"] == pid, status
        session = status["session_id"]
        first.signal(signal.SIGKILL)
        await first.ended()
        await nodes.takes_over(nodes.nodes[1], first)
        async for event in nodes.follow(session, first=1):
            if event["type"] == "peer.lost":
                break
        status = await nodes.ask("GET", "/api/v2/ai/clerk/status", at=nodes.nodes[1])
        assert (status["pid"], status["status"]) == (None, "gone"), status
        assert runs(pid)
        await first.start()
        await gone(pid)  # it is lost, so it does not run any longer than its node is away
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_a_node_that_was_taken_over_ends_its_programs(nodes: Nodes) -> None:
    owner = nodes.nodes[1]
    argv = ["/bin/sh", "-c", "echo ready; exec cat"]
    body = {"name": "clerk", "kind": "stdio", "argv": argv, "cwd": "/", "env": {"PATH": os.environ["PATH"]}}
    await nodes.announce(owner, body)
    pid = (await nodes.ask("GET", "/api/v2/ai/clerk/status", at=owner))["pid"]
    try:
        owner.signal(signal.SIGSTOP)
        await nodes.takes_over(nodes.nodes[0], owner)
        owner.signal(signal.SIGCONT)
        assert await owner.ended() == 1
        assert not runs(pid)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_that_was_acknowledged_is_lost_when_the_database_is_killed(
    tmp_path: Path, provider: ProviderProcess, version: str
) -> None:
    provider.begin_anew()
    provider.script(default=Script(chunks=("yes",)))
    with cluster_of_its_own(version) as cluster:
        async with running(tmp_path, cluster.url(), 2, **model(provider)) as nodes:
            session = await nodes.session()
            readers = Readers(nodes, session)
            sent = [await nodes.send(session, f"message {number}", f"k{number}") for number in range(5)]
            await asyncio.to_thread(cluster.kill)
            waiting = asyncio.create_task(nodes.send(session, "while it is away", "k5"))
            await asyncio.to_thread(cluster.start)
            sent.append(await waiting)
            log = await ended(nodes, session, sent[-1])
            assert [turn for turn, _ in ends(log)] == sent
            await readers.all_have(log)
