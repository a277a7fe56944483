"""Programs whose host process is stopped: nothing waits for it without limit, and it may continue."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from rhetor.domain.notification import Notification, Recipient
from rhetor.drivers.programs.host.folder import start_time
from rhetor.errors import TurnFailure
from tests.rhetor.drivers.programs.host.hosting import ended
from tests.served import PROGRAM_ENVIRONMENT, Served, with_programs

pytestmark = pytest.mark.anyio
SILENT = "its host process does not answer"


class Told:
    """A recipient of notifications that keeps what it is sent."""

    def __init__(self, *on: str) -> None:
        self.recipient = Recipient("told", "webhook", frozenset(on))
        self.got: list[Notification] = []
        self.heard = asyncio.Event()

    def fault(self) -> None:
        return None

    async def send(self, notification: Notification) -> None:
        self.got.append(notification)
        self.heard.set()


@asynccontextmanager
async def stopped(home: Served, peer: str = "p") -> AsyncIterator[int]:
    """Stop the host of the peer's program for a while."""
    host = home.hub.state.instances[peer].running.host_pid
    os.kill(host, signal.SIGSTOP)
    try:
        yield host
    finally:
        if start_time(host) is not None:
            os.kill(host, signal.SIGCONT)


async def announced(home: Served, name: str, kind: str = "stdio") -> None:
    body = {"name": name, "kind": kind, "argv": ["cat"], "cwd": "/", "env": PROGRAM_ENVIRONMENT}
    assert (await home.ask("POST", "/api/v2/programs", body)).status == 200


@pytest.mark.parametrize("kind", ["stdio", "terminal"])
async def test_peers_are_listed_within_two_seconds_and_a_silent_one_is_stuck(
    kind: str,
) -> None:
    told = Told("peer.stuck")
    async with with_programs(senders=[told]) as home:
        await announced(home, "p", kind)
        await announced(home, "q", kind)
        async with stopped(home):
            for path in ("/api/v2/ai", "/api/v2/ai", "/api/v2/tools"):
                began = time.monotonic()
                answer = await home.ask("GET", path)
                assert (answer.status, time.monotonic() - began < 2.0) == (200, True)
            peers = {each["id"]: each for each in (await home.ask("GET", "/api/v2/ai")).json["peers"]}
            assert (peers["p"]["status"], peers["p"]["evidence"]) == ("stuck", SILENT)
            assert peers["q"]["status"] != "stuck"
            explained = (await home.ask("GET", "/api/v2/ai/p/status")).json
            assert (explained["status"], explained["evidence"]) == ("stuck", SILENT)
            assert (explained["screen"] is None) is (kind == "stdio")
            await told.heard.wait()
            assert [(each.type, each.peer, each.text) for each in told.got] == [
                ("peer.stuck", "p", f"p is stuck: {SILENT}")
            ]
        waited = await home.ask("POST", "/api/v2/wait", {"peers": ["p"], "mode": "all", "timeout": 30})
        assert waited.json == {"idle": ["p"], "waiting": [], "timed_out": False}
        assert (await home.ask("GET", "/api/v2/ai/p")).json["status"] == "idle"


@pytest.mark.long
@pytest.mark.parametrize("kind", ["stdio", "terminal"])
async def test_a_program_with_a_stopped_host_is_ended_only_with_force(kind: str) -> None:
    async with with_programs() as home:
        await announced(home, "p", kind)
        running = home.hub.state.instances["p"].running
        start = start_time(running.pid) or 0
        async with stopped(home) as host:
            refused = await home.ask("DELETE", "/api/v2/programs/p")
            assert (refused.status, refused.json["code"]) == (504, "host_silent")
            assert start_time(host) is not None
            forced = await home.ask("DELETE", "/api/v2/programs/p?force=true")
            assert forced.json == {"name": "p", "exit_code": None, "signal": None}
            await ended(running.pid, start)
        assert (await home.ask("GET", "/api/v2/ai/p")).status == 404


@pytest.mark.long
async def test_a_message_fails_while_the_host_is_stopped_and_works_afterwards() -> None:
    async with with_programs() as home:
        await announced(home, "p")
        assert (await home.say("p", "one")).json["response"] == "one\n"
        async with stopped(home):
            failed = await home.say("p", "two")
            assert (failed.status, failed.json["code"]) == (504, "host_silent")
        assert (await home.say("p", "three")).json["response"] == "three\n"


@pytest.mark.long
async def test_a_full_accept_queue_does_not_count_as_a_lost_host() -> None:
    async with with_programs() as home:
        await announced(home, "p")
        link = home.hub.state.instances["p"].running.link  # type: ignore[attr-defined]
        async with stopped(home):
            crowd = [await asyncio.open_unix_connection(link.identity.socket) for _ in range(66)]
            failed = await home.say("p", "two")
            assert (failed.status, failed.json["code"]) == (504, "host_silent")
            for _, writer in crowd:
                writer.close()
        async with asyncio.timeout(30):
            while home.hub.state.instances["p"].running.ended is None:
                with suppress(TurnFailure):  # until it has noticed that the other connections have closed
                    await link.status()
                    break
        assert (await home.say("p", "three")).json["response"] == "three\n"
