"""Forwards, routes and context in the shell, with a hub that is killed."""

from __future__ import annotations

import http.client
import json
import random
import socket
import sqlite3
import subprocess
import time
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script
from tests.scale import scaled

KILLS = scaled(8, 3)
OFFLINE = {"RHETOR_MODELS__DEFAULT": "offline"}


@pytest.fixture
def key(provider: ProviderProcess) -> dict[str, str]:
    provider.script(default=Script(chunks=("said",)))
    return {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "scripted"}


@pytest.mark.long
def test_a_route_can_be_defined_used_and_listed(machine: Machine) -> None:
    named = machine.run("route", "name", "review", "numa", "apollo", "purpose", "find bugs", "athena")
    assert named.stdout == "Route 'review' created: numa → apollo → athena\n"
    sent = machine.run("route", "review", "Design a cache", "--json", variables=OFFLINE)
    assert sent.returncode == 0
    events = [json.loads(line) for line in sent.stdout.splitlines()]
    messages = [e["data"] for e in events if e["type"] == "message.accepted"]
    assert [message["via"] for message in messages] == [[], ["numa"], ["numa", "apollo"]]
    contexts = [(e["step"], e["data"]["prompts"]) for e in events if e["type"] == "context.injected"]
    assert contexts == [("h2", ["find bugs"])]
    assert machine.run("route", "nowhere", "x").returncode == 3
    assert machine.run("route", "name", "r", "apollo", "nobody").returncode == 3
    machine.kill_hub()
    assert machine.run("route", "list").stdout == "review: numa → apollo → athena\n"


def test_a_terminal_without_a_name_has_a_purpose_until_it_is_closed(machine: Machine) -> None:
    purposes = "aish purpose json"
    lines = ("aish purpose deploys", "aish purpose", purposes, "aish apollo hi --json")
    shown = _in_a_terminal(machine, *lines)
    assert shown.startswith(
        "✓ Purpose of this terminal: deploys\nNAME           PURPOSE\nthis terminal  deploys\n"
    )
    assert '"prompts":["deploys"],"metadata":{"source":"purpose of the terminal"' in shown
    # another terminal neither has this purpose nor shows it as its own
    assert "deploys" not in _in_a_terminal(machine, "aish apollo hi --json")
    listed = json.loads(_in_a_terminal(machine, purposes))
    assert [entry["purpose"] for entry in listed] == ["deploys"]
    # the next terminal with a purpose removes that of the closed one
    listed = json.loads(_in_a_terminal(machine, "aish purpose tests >&2", purposes))
    assert [entry["purpose"] for entry in listed] == ["tests"]
    removed = _in_a_terminal(
        machine, "aish purpose tests", "aish purpose ''", purposes, "ls $RHETOR_HOME/terminals"
    )
    assert removed.splitlines() == [
        "✓ Purpose of this terminal: tests",
        "✓ Removed the purpose of this terminal",
        "[]",
    ]


def _in_a_terminal(machine: Machine, *lines: str) -> str:
    """Run the lines in a session of its own, as in another terminal; return what they print."""
    path = f"{machine.bin}:{machine.environment['PATH']}"
    variables = {**machine.environment, **OFFLINE, "PATH": path}
    ran = subprocess.run(
        ["sh", "-c", "\n".join(lines)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_two_peers_that_forward_to_each_other_stop_after_eight_messages(machine: Machine) -> None:
    assert machine.run("forward", "apollo", "athena").stdout == "✓ Forwarding apollo messages to athena\n"
    assert "is a loop" in machine.run("forward", "athena", "apollo").stderr
    machine.run("apollo", "begin", variables=OFFLINE)
    deadline = time.monotonic() + SECONDS
    while not (failed := _failures(machine)):
        assert time.monotonic() < deadline, "no forward has failed"
    assert failed == {"athena": "hop_limit"}
    spoken = json.loads(machine.run("history", "50", "json").stdout)
    assert [one["ai"] for one in spoken] == ["apollo", "athena"] * 4
    assert machine.run("unforward", "apollo").stdout == "✓ Stopped forwarding apollo (was going to athena)\n"


def _failures(machine: Machine) -> dict[str, str]:
    listed = json.loads(machine.run("forward", "list", "json").stdout)
    return {one["from"]: one["failed"]["code"] for one in listed if one["failed"]}


def test_context_is_sent_once_although_the_hub_is_killed(machine: Machine) -> None:
    machine.run("context", "stage", "apollo", "we use Postgres")
    machine.run("context", "promote", "apollo")
    machine.kill_hub()
    sent = [machine.run("apollo", "hi", "--json", variables=OFFLINE) for _ in range(2)]
    events = [[json.loads(line) for line in one.stdout.splitlines()] for one in sent]
    prompts = [[e["data"]["prompts"] for e in run if e["type"] == "context.injected"] for run in events]
    assert prompts == [[["we use Postgres"]], []]


@pytest.mark.long
def test_each_answer_is_forwarded_once_although_the_hub_is_killed_repeatedly(
    machine: Machine, key: dict[str, str]
) -> None:
    dice = random.Random(7)
    _register(machine, "jill")
    assert machine.run("forward", "apollo", "jill").returncode == 0
    assert machine.run("forward", "athena", "prometheus").returncode == 0
    for _ in range(KILLS):
        machine.run("list")  # make sure that a hub runs
        talking = [machine.start(peer, "go", variables=key) for peer in ("apollo", "athena") * 3]
        time.sleep(dice.uniform(0.0, 0.7))  # the moment of the kill is random
        machine.kill_hub()
        _end(talking)
    assert machine.run("apollo", "the last one", variables=key).returncode == 0
    assert machine.run("athena", "the last one", variables=key).returncode == 0
    deadline = time.monotonic() + SECONDS
    while _due(machine):
        assert time.monotonic() < deadline, "something is still due"
        time.sleep(0.05)
    machine.end()
    machine.wait_for_end()
    assert _forwarded(machine, "message.forwarded", "$.source.turn_id") == _answers(machine, "apollo")
    heard = _sent_to_prometheus(machine)
    assert heard == len(_answers(machine, "athena"))
    assert len(_answers(machine, "apollo")) > 0 < heard


def _register(machine: Machine, name: str) -> None:
    machine.run("list")  # make sure that a hub runs
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(machine.folder / "hub.sock"))
    connection.request("PUT", f"/api/v2/terminals/{name}", "{}", {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def _end(talking: list[subprocess.Popen[bytes]]) -> None:
    for shell in talking:
        shell.communicate(timeout=SECONDS)


def _due(machine: Machine) -> int:
    database = sqlite3.connect(f"file:{machine.folder / 'hub.db'}?mode=ro", uri=True)
    try:
        found: tuple[int] = database.execute("SELECT count(*) FROM rows WHERE kind = 'delivery'").fetchone()
    finally:
        database.close()
    return found[0]


def _query(machine: Machine, query: str, *values: str) -> list[Any]:
    database = machine.database()
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in database.execute(query, values)]
    finally:
        database.close()


def _forwarded(machine: Machine, kind: str, what: str) -> list[str]:
    return sorted(_query(machine, "SELECT json_extract(data, ?) FROM events WHERE type = ?", what, kind))


def _answers(machine: Machine, peer: str) -> list[str]:
    """Return the ids of the peer's completed turns."""
    started = "SELECT turn_id FROM events WHERE type = 'turn.started' AND json_extract(data, '$.peer') = ?"
    ended = f"SELECT turn_id FROM events WHERE type = 'turn.completed' AND turn_id IN ({started})"
    return sorted(_query(machine, ended, peer))


def _sent_to_prometheus(machine: Machine) -> int:
    accepted = "SELECT count(*) FROM events WHERE type = 'message.accepted'"
    (count,) = _query(machine, f"{accepted} AND json_extract(data, '$.from') = 'athena'")
    return int(count)
