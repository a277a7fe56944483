"""Everything that was acknowledged or shown is on the disk: tested with real processes, kills and fsync."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from rhetor.domain.event import OutputDelta, Position
from rhetor.store.base import Head, Row
from rhetor.store.sqlite.store import SqliteStore
from tests.needs import needs
from tests.scale import scaled

from .appending import STREAMS
from .held_fsync import COMMITS

ROOT = Path(__file__).parents[4]
KILLS = scaled(50, 5)


@pytest.fixture(scope="module")
def gate_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = needs("cc")  # builds the library that blocks fsync
    library = tmp_path_factory.mktemp("gate") / "fsync_gate.so"
    source = Path(__file__).with_name("fsync_gate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("tail", ["tail", "no-tail"])
def test_while_fsync_is_blocked_no_commit_is_visible_to_anyone(
    gate_library: Path, tmp_path: Path, tail: str
) -> None:
    gate = tmp_path / "gate"
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.rhetor.store.sqlite.held_fsync", str(tmp_path / "db"), tail],
        cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(gate_library), "FSYNC_GATE": str(gate)},
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        try:
            held = json.loads(child.stdout.readline())
            gate.unlink()
            released = json.loads(child.stdout.readline())
        finally:
            gate.unlink(missing_ok=True)
            child.wait(timeout=60)
    nothing = {"replies": 0, "woken": 0, "followed": 0, "head": 1, "page": 0, "rows": 0}
    everything = {"replies": COMMITS, "woken": 1, "followed": 1}
    assert held == nothing
    assert released == everything | {"head": 1 + COMMITS, "page": COMMITS, "rows": COMMITS}


def failing_fsync(gate_library: Path, folder: Path, how: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tests.rhetor.store.sqlite.failing_fsync", str(folder / "db"), how],
        cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(gate_library), "FSYNC_FAILS": str(folder / "fails")},
        stdout=subprocess.PIPE,
        check=False,
    )


@pytest.mark.anyio
async def test_a_rejected_commit_does_not_reappear_after_a_crash(gate_library: Path, tmp_path: Path) -> None:
    assert failing_fsync(gate_library, tmp_path, "die").returncode == -signal.SIGKILL
    store = await SqliteStore.open(tmp_path / "db", clock=lambda: 1)
    assert [await texts(store, stream) for stream in ("a", "b")] == [{1: "before"}, {1: "before"}]
    await store.aclose()


def test_while_fsync_fails_appends_are_rejected_and_reads_work(gate_library: Path, tmp_path: Path) -> None:
    child = failing_fsync(gate_library, tmp_path, "recover")
    assert child.returncode == 0
    before = {"seq": 1, "data": {"text": "before", "channel": "answer"}}
    after = {"seq": 2, "data": {"text": "after", "channel": "answer"}}
    assert json.loads(child.stdout) == {
        "before": ["1", "1"],
        "failing": ["SQLITE_IOERR_FSYNC"] * 4,
        "read": [[before], [before]],
        "after": ["2", "2"],
        "kept": [[before, after], [before, after]],
    }


def killed_at_random(database: Path) -> list[tuple[str, int, str]]:
    """Kill a process after a random number of appends; return those that it acknowledged."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.rhetor.store.sqlite.appending", str(database)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(random.randint(1, 400))]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL
    fields = [line.split() for line in lines if line.endswith("\n")]
    return [(stream, int(number), text) for stream, number, text in fields]


@pytest.mark.anyio
@pytest.mark.long
async def test_every_acknowledged_event_survives_kill_9_with_its_number(tmp_path: Path) -> None:
    acknowledged: dict[str, dict[int, str]] = {stream: {} for stream in STREAMS}
    for _ in range(KILLS):
        for stream, number, text in killed_at_random(tmp_path / "db"):
            acknowledged[stream][number] = text
        store = await SqliteStore.open(tmp_path / "db", clock=lambda: time.time_ns() // 1_000_000)
        for stream in STREAMS:
            kept = await texts(store, stream)
            assert sorted(kept) == list(range(1, len(kept) + 1))
            assert acknowledged[stream].items() <= kept.items()
            await require_one_whole(store, stream, len(kept))
        await store.aclose()
    assert sum(map(len, acknowledged.values())) > KILLS


async def texts(store: SqliteStore, stream: str) -> dict[int, str]:
    head = await store.head(stream)
    if head is None:
        return {}
    page = await store.page(stream, Position(head.epoch, 0), 1_000_000)
    payloads = {record.seq: record.event.payload for record in page}
    return {seq: payload.text for seq, payload in payloads.items() if isinstance(payload, OutputDelta)}


async def require_one_whole(store: SqliteStore, stream: str, count: int) -> None:
    """Assert that event, row and offset of the last append are all stored, or none of them."""
    head = await store.head(stream)
    if head is None:
        assert await store.get("count", stream) is None
    else:
        assert head == Head(head.epoch, count, 1)
        row = await store.get("count", stream)
        assert row is not None
        assert replace(row, version=0) == Row("count", stream, str(count), b"")
    assert await store.offset(stream) == count
