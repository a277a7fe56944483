"""Three hubs serve clients on all APIs while nodes, the database and their connections fail."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.nodes.chaos.clients import Crowd, Follower, Session, Talker
from tests.nodes.chaos.database import Database
from tests.nodes.chaos.faults import ALL, SOME, Faults
from tests.nodes.chaos.following import WAYS
from tests.nodes.chaos.programs import Caller, Programs
from tests.nodes.chaos.vendors import VENDORS
from tests.nodes.chaos.verifying import require_calls, require_digests, require_heard, require_logs
from tests.nodes.hubs import Nodes, running
from tests.postgres.cluster import running as cluster_of_its_own
from tests.postgres.proxy import proxied
from tests.provider.process import ProviderProcess
from tests.scale import FULL, scaled

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
NODES = 3
CLIENTS, EVENTS = scaled(300, 30), scaled(20_000, 1_000)
CALLERS = scaled(12, 3)  # of programs
SESSIONS = scaled(12, 6)
PAUSE = scaled(15, 3)  # seconds between messages of a client
QUIET_SECONDS = 180.0
VERSION = "18" if FULL else "15"
LIMITS = {
    "RHETOR_LIMITS__CONNECTIONS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_AT_ONCE": "100000",
    "RHETOR_LIMITS__MESSAGES_PER_SECOND": "10000",
    "RHETOR_LIMITS__MESSAGES_BURST": "10000",
    "RHETOR_LIMITS__TURNS_AT_ONCE": "10000",
}


@pytest.mark.parametrize("version", [VERSION])
async def test_clients_on_all_apis_have_the_whole_log_while_nodes_and_the_database_fail(
    tmp_path: Path, version: str
) -> None:
    seed = int(os.environ.get("RHETOR_TEST_SEED") or secrets.randbits(32))
    sys.stdout.write(f"RHETOR_TEST_SEED={seed}\n")
    async with AsyncExitStack() as stack:
        provider = stack.enter_context(ProviderProcess("--interval", "0.03"))
        cluster = stack.enter_context(cluster_of_its_own(version))
        proxies = [await stack.enter_async_context(proxied(cluster)) for _ in range(NODES)]
        model = {"OPENAI_BASE_URL": f"{provider.url}/v1", "RHETOR_MODEL": "test-model"}
        urls = [proxy.url("postgres") for proxy in proxies]
        nodes = await stack.enter_async_context(running(tmp_path, urls, NODES, **LIMITS, **model))
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        database = Database(cluster.folder)
        crowd = Crowd(nodes.nodes, http, seed, PAUSE)
        sessions = [await _session(nodes, number) for number in range(SESSIONS)]
        followers, talkers = _clients(crowd, sessions)
        programs = Programs(tmp_path, nodes.nodes)
        callers = [Caller(crowd, CLIENTS + number, [*programs.notes]) for number in range(CALLERS)]
        faults = Faults(crowd, nodes, proxies, cluster, database)
        async with asyncio.TaskGroup() as following:
            for follower in followers:
                following.create_task(follower.follow())
            keeping = [following.create_task(each.keep()) for each in (faults, programs)]
            async with asyncio.TaskGroup() as talking:
                for follower in followers:
                    talking.create_task(follower.talk())
                for talker in talkers:
                    talking.create_task(talker.talk())
                for caller in callers:
                    talking.create_task(caller.talk())
                await faults.run(*(ALL if FULL or os.environ.get("RHETOR_TEST_FAULTS") == "all" else SOME))
                while sum(session.head for session in sessions) < EVENTS:
                    crowd.took.clear()
                    await crowd.took.wait()
                crowd.done.set()
            faults.note("no more messages")
            await database.until(database.is_quiet, QUIET_SECONDS)
            faults.note("all turns have ended")
            for session in sessions:
                await nodes.ask("DELETE", f"/api/v2/sessions/{session.id}")
            for task in keeping:
                task.cancel()
        faults.note("all clients have seen the end")
        logs = await database.logs()
        require_digests(followers, logs)
        outcomes = require_logs(crowd, logs)
        fences = sum(node.fence for node in await database.nodes())
        calls = require_calls(await asyncio.to_thread(provider.calls), logs, fences)
        require_heard(crowd, programs.heard(), logs)
        await _require_refused(nodes, database, faults)
        events = sum(map(len, logs.values()))
        assert events >= EVENTS
        sys.stdout.write(f"{events} events, {dict(outcomes)}, {dict(calls)}, {dict(crowd.happened)}\n")


async def _session(nodes: Nodes, number: int) -> Session:
    """Create a session, which is a named socket, too, so that each API can follow it."""
    node = nodes.nodes[number % NODES]
    made = await nodes.ask("POST", "/api/ai/socket/create", {"ai_name": "apollo"}, at=node)
    found = await nodes.ask("GET", f"/api/v2/sessions/{made['session_id']}", at=node)
    return Session(made["session_id"], made["socket_id"], found["cursor"].partition(":")[0])


def _clients(crowd: Crowd, sessions: Sequence[Session]) -> tuple[list[Follower], list[Talker]]:
    """Make the clients, in turn of each API, in turn at each session."""
    followers, talkers = list[Follower](), list[Talker]()
    kinds = len(WAYS) + len(VENDORS)
    for number in range(CLIENTS):
        kind, session = number % kinds, sessions[number // kinds % len(sessions)]
        if kind < len(WAYS):
            followers.append(Follower(crowd, number, WAYS[kind], session))
        else:
            talkers.append(Talker(crowd, number, VENDORS[kind - len(WAYS)]))
    return followers, talkers


async def _require_refused(nodes: Nodes, database: Database, faults: Faults) -> None:
    """Late writes of nodes that were taken over are counted in the database, and shown in health."""
    refused = {node.port: node.refused for node in await database.nodes()}
    assert faults.fenced and all(refused[port] > 0 for port in faults.fenced), (refused, faults.fenced)
    shown = (await nodes.ask("GET", "/api/v2/health"))["nodes"]
    assert {int(each["address"].rpartition(":")[2]): each["refused_writes"] for each in shown} == refused
