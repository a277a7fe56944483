"""A build host in a network namespace is cut off in the middle of an agent's turn and a terminal's output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.home import SECONDS, Machine
from tests.machines.joined import BuildHost, listed, node_token, until_status
from tests.machines.namespace import Namespace, namespace
from tests.scale import FULL

CUT_SECONDS = 30.0 if FULL else 14.0  # more than it takes to notice
LINES = 400 if FULL else 200
NUMBERS = 200 if FULL else 100  # one in 50 ms


@pytest.fixture
def network() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def test_a_machine_that_is_cut_off_comes_back_and_nothing_is_lost_or_doubled(
    machine: Machine, network: Namespace, tmp_path: Path
) -> None:
    made = machine.rhetor("cert", "create", network.address)
    assert made.returncode == 0, made.stderr
    tls = machine.folder / "tls"
    machine.environment |= {
        "RHETOR_HUB__HOST": "0.0.0.0",  # the namespace has to reach it
        "RHETOR_HUB__TLS_CERT": str(tls / "hub.crt"),
        "RHETOR_HUB__TLS_KEY": str(tls / "hub.key"),
    }
    assert machine.run("list").returncode == 0
    host = BuildHost(tmp_path / "host", node_token(machine, "build1"), inside=network.inside)
    url = f"https://{network.address}:{machine.environment['RHETOR_HUB__PORT']}"
    try:
        host.join(url, "--ca", str(tls / "ca.crt"))
        lines = f"for i in $(seq {LINES}); do echo line $i; sleep 0.05; done"
        counting = machine.start("box@build1", lines, "-x")
        asking = machine.start("worker@build1", f"ask {NUMBERS}")
        time.sleep(2)
        network.cut()
        began = time.monotonic()
        until_status(machine, "worker@build1", "offline")
        assert listed(machine)["machine:build1"]["status"] == "offline"
        assert "offline" in machine.run("explain", "box@build1").stdout
        time.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - began)))
        network.mend()
        host.until("connected to")
        until_status(machine, "worker@build1", "blocked")  # it asked while it was away, or asks now
        approved = machine.run("approve")
        assert approved.returncode == 0, approved.stderr
        output, errors = asking.communicate(timeout=SECONDS)
        assert output.split() == [*(b"%d" % number for number in range(NUMBERS)), b"allow"], errors
        output, errors = counting.communicate(timeout=SECONDS)
        assert output == b"".join(b"line %d\n" % number for number in range(1, LINES + 1)), errors
        _check_log(machine)
    finally:
        network.mend()
        host.leave()


def _check_log(machine: Machine) -> None:
    """Check that the log has each event once: the numbers have no gap, and the deltas are the answers."""
    database = machine.database()
    try:
        rows = database.execute("SELECT inc, seq, type, data FROM events ORDER BY inc, seq").fetchall()
    finally:
        database.close()
    numbers: dict[int, list[int]] = {}
    said: dict[int, str] = {}
    for stream, seq, kind, data in rows:
        numbers.setdefault(stream, []).append(seq)
        if kind == "output.delta" and json.loads(data).get("channel", "answer") == "answer":
            said[stream] = said.get(stream, "") + json.loads(data)["text"]
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))
    answers = [text.split() for text in said.values()]
    assert [*(str(number) for number in range(NUMBERS)), "allow"] in answers
    assert "".join(f"line {number}\n" for number in range(1, LINES + 1)).split() in answers
