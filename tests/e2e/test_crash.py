"""The hub is killed, as by a power failure, while an answer streams."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script
from tests.scale import scaled

KILLS = scaled(20, 3)


@pytest.mark.long
def test_every_event_that_a_client_has_read_survives_a_kill_with_its_number(
    machine: Machine, provider: ProviderProcess, tmp_path: Path
) -> None:
    """After each of many kills, every event that the client printed is in SQLite with the same number, the
    numbers have no gaps, and the turn is interrupted."""
    provider.script(default=Script(chunks=tuple(f"chunk {n} " for n in range(10_000)), delay=0.001))
    key = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "scripted"}
    dice = random.Random(7)
    for _ in range(KILLS):
        printed = _stream_until_killed(machine, key, tmp_path / "out", dice.uniform(0.0, 0.5))
        assert printed, "nothing was printed before the kill"
        stored = _stored(machine, printed[0]["epoch"])
        by_number = {event["seq"]: event for event in stored}
        for event in printed:
            assert by_number[event["seq"]] == {key: event[key] for key in ("seq", "type", "turn_id", "data")}
        assert [event["seq"] for event in stored] == list(range(1, len(stored) + 1))
        ended = machine.run("list")  # the next hub recovers
        assert ended.returncode == 0
        assert _end_of_turn(machine, printed[0]["epoch"]) == "turn.interrupted"


def _stream_until_killed(
    machine: Machine, key: dict[str, str], out: Path, after: float
) -> list[dict[str, Any]]:
    """Return the events that the client printed completely. The shell has started the hub."""
    with out.open("wb") as file:
        shell = machine.start("apollo", "--json", "go", stdout=file, variables=key)
        deadline = time.monotonic() + SECONDS
        while b'"output.delta"' not in out.read_bytes():
            assert shell.poll() is None, shell.stderr and shell.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(after)  # the moment of the kill is random
        machine.kill_hub()
        assert shell.stderr is not None
        shell.stderr.read()
        assert shell.wait(SECONDS) == 5
        shell.stderr.close()
    lines = out.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]


def _stored(machine: Machine, epoch: str) -> list[dict[str, Any]]:
    database = machine.database()
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = database.execute(
            "SELECT seq, type, turn_id, data FROM events JOIN incarnations i ON i.id = inc"
            " WHERE i.epoch = ? ORDER BY seq",
            (epoch,),
        ).fetchall()
    finally:
        database.close()
    return [{"seq": s, "type": k, "turn_id": t, "data": json.loads(data)} for s, k, t, data in rows]


def _end_of_turn(machine: Machine, epoch: str) -> str:
    uri = f"file:{machine.folder / 'hub.db'}?mode=ro"
    database = sqlite3.connect(uri, uri=True)
    try:
        found: str = database.execute(
            "SELECT type FROM events JOIN incarnations i ON i.id = inc"
            " WHERE i.epoch = ? AND type LIKE 'turn.%' ORDER BY seq DESC LIMIT 1",
            (epoch,),
        ).fetchone()[0]
    finally:
        database.close()
    return found
