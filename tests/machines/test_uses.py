"""Peers of a machine are used as those of the hub's own machine are."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.home import SECONDS, Machine
from tests.machines.joined import BuildHost, joined, listed, until_status, url_of


@pytest.fixture
def host(machine: Machine, tmp_path: Path) -> Iterator[BuildHost]:
    with joined(machine, tmp_path / "host") as made:
        yield made


def test_a_pipeline_and_a_broadcast_reach_them(machine: Machine, host: BuildHost) -> None:
    ran = machine.run("-c", 'echo "hello" | shout@build1')
    assert ran.stdout == "hello\n", ran.stderr
    ran = machine.run("-c", 'worker@build1,shout@build1 -x << "count 2"')
    assert "0 1" in ran.stdout and "count 2" in ran.stdout, ran.stderr


def test_answers_are_forwarded_between_machines(machine: Machine, host: BuildHost, tmp_path: Path) -> None:
    with joined(machine, tmp_path / "other", "build2") as other:
        made = machine.run("forward", "worker@build1", "shout@build2", "-x")
        assert made.returncode == 0, made.stderr
        other.stop()
        until_status(machine, "shout@build2", "offline")
        assert machine.run("worker@build1", "count 3").returncode == 0
        other.join(url_of(machine))  # what was forwarded has waited for it
        deadline = time.monotonic() + SECONDS
        while "0 1 2" not in _answers(machine, "shout@build2"):
            assert time.monotonic() < deadline, _answers(machine, "shout@build2")
            time.sleep(0.2)


def _answers(machine: Machine, peer: str) -> str:
    found = json.loads(machine.run("history", "10", "json", "--peer", peer).stdout)
    return " ".join(str(each["response"]) for each in found)


def test_wait_waits_for_them(machine: Machine, host: BuildHost) -> None:
    asking = machine.start("worker@build1", "count 200")
    until_status(machine, "worker@build1", "busy")
    waited = machine.run("wait", "worker@build1", "--timeout", "60")
    assert waited.stdout == "worker@build1\n", waited.stderr
    output, errors = asking.communicate(timeout=SECONDS)
    assert len(output.split()) == 200, errors


def test_a_line_of_a_schedule_and_a_route_reach_them(machine: Machine, host: BuildHost) -> None:
    made = machine.run("route", "name", "r", "worker@build1", "shout@build1")
    assert made.returncode == 0, made.stderr
    ran = machine.run("route", "r", "count 2")
    assert "0 1" in ran.stdout, ran.stderr


@pytest.mark.anyio
async def test_a_terminal_is_attached_and_nothing_is_typed_while_its_machine_is_away(
    machine: Machine, host: BuildHost
) -> None:
    assert (await asyncio.to_thread(machine.run, "box@build1", "x=7", "-x")).returncode == 0
    token = machine.rhetor("token").stdout.strip()
    url = url_of(machine)
    headers = {"authorization": f"Bearer {token}"}
    async with connect(f"ws{url[4:]}/ws/attach/box@build1", additional_headers=headers) as terminal:
        await terminal.send(b"echo got-$x\r")
        await _shown(terminal, b"got-7")
        await asyncio.to_thread(host.stop)
        await asyncio.to_thread(until_status, machine, "box@build1", "offline")
        await terminal.send(b"echo lost\r")
        refused = await _notice(terminal, "error")
        assert refused["code"] == "machine_offline"
        await asyncio.to_thread(host.join, url)
        await asyncio.to_thread(until_status, machine, "box@build1", "idle")
        await terminal.send(b"echo back-$x\r")
        shown = await _shown(terminal, b"back-7")
        assert b"lost" not in shown


async def _shown(terminal: ClientConnection, words: bytes) -> bytes:
    """Return what the terminal has shown, up to these words."""
    shown = b""
    async with asyncio.timeout(SECONDS):
        while words not in shown:
            message = await terminal.recv()
            shown += message if isinstance(message, bytes) else b""
    return shown


async def _notice(terminal: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while True:
            message = await terminal.recv()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                found: dict[str, Any] = json.loads(message)
                return found


def test_a_peer_of_a_machine_is_not_named_by_accident(machine: Machine, host: BuildHost) -> None:
    assert machine.run("nobody@build1", "hi").returncode == 3
    assert machine.run("shout@nowhere", "hi").returncode == 3
    assert listed(machine)["codex"]["status"] == "missing"
