"""What `rhetor check` finds, and that it changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rhetor.domain.event import Folded, MessageAccepted, OutputDelta, Position, TurnCompleted
from rhetor.hub.core.ids import wall_clock
from rhetor.maintenance.check import Checked, check
from rhetor.maintenance.progress import Progress
from rhetor.sealing.ring import Ring
from rhetor.store.base import Draft, Row
from rhetor.store.blobs import FileBlobs
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.maintenance.test_backup import opened, with_checkpoint
from tests.scale import scaled

pytestmark = pytest.mark.anyio

TEXTS = {n: f"message {n} " + "x" * 300 for n in range(60)}


async def _filled(home: Path) -> None:
    async with opened(home) as store:
        blob = await FileBlobs(home / "blobs").keep(b"content")
        await store.commit("s_1", [], rows=[Row("blob", f"me/{blob}", "kept", b"{}", parent=blob)])
        for n, text in TEXTS.items():
            await store.commit(
                f"s_{n % 3}",
                [
                    Draft(MessageAccepted(f"m_{n}", "user", text), f"t_{n}"),
                    Draft(OutputDelta("a"), f"t_{n}"),
                    Draft(OutputDelta("b"), f"t_{n}"),
                    Draft(TurnCompleted(f"m_{n}", "ab", "stop"), f"t_{n}"),
                ],
                rows=[Row("turn", f"t_{n}", "completed", b"{}")],
            )
        head = await store.head("s_2")
        assert head is not None
        await store.fold("s_1", "t_1")
        await store.truncate("s_2", 5)
        await store.commit("s_2", [], base=("s_2", Position(head.epoch, 8)))
        files, _ = await with_checkpoint(store, home, home.parent / "project")
        files.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "home"
    asyncio.run(_filled(home))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "home")


def checked(home: Path) -> Checked:
    return check(home, Progress("check", "items"), Ring(home))


def state_of(home: Path) -> dict[str, tuple[int, int, bytes]]:
    # SQLite leaves these beside a database that was only read; they are empty
    files = [p for p in home.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm"))]
    assert [path for path in home.rglob("*-wal") if path.stat().st_size] == []
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino, p.read_bytes()) for p in files}


def test_a_sound_state_has_no_findings_and_is_not_changed(home: Path) -> None:
    before = state_of(home)
    command = [sys.executable, "-m", "rhetor", "check", "--json", "--home", str(home)]
    ran = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = json.loads(ran.stdout)
    assert {**found, "objects": 0} == {
        "streams": 4,
        "events": 235,
        "rows": 62,
        "blobs": 1,
        "objects": 0,
        "findings": [],
    }
    assert found["objects"] == 2
    assert state_of(home) == before


def execute(sql: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        with contextlib.closing(sqlite3.connect(home / "hub.db")) as database, database:
            database.executescript(sql)
        (home / "hub.db.witness").unlink()

    return change


def only(folder: str, content: bytes | None) -> Callable[[Path], None]:
    """Remove the only file that a pattern matches, or write it."""

    def change(home: Path) -> None:
        (file,) = home.glob(folder)
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)

    return change


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (
            execute("DELETE FROM events WHERE type = 'message.accepted' AND turn_id = 't_4'"),
            {"event_missing"},
        ),
        (execute("UPDATE events SET data = '{' WHERE turn_id = 't_4' AND seq % 4 = 1"), {"event_invalid"}),
        (
            execute("DELETE FROM texts WHERE turn_id = 't_4'; INSERT INTO words (words) VALUES ('rebuild')"),
            {"text_missing"},
        ),
        (execute("UPDATE rows SET doc = '{' WHERE id = 't_4'"), {"row_invalid"}),
        (execute("UPDATE incarnations SET base_seq = 999 WHERE base"), {"base_missing"}),
        (only("blobs/*", None), {"blob_missing"}),
        (only("blobs/*", b"other"), {"blob_damaged"}),
        (only("checkpoints/*.pack", None), {"files_missing", "checkpoint_incomplete"}),
        (only("checkpoints/*.pack", b"x" * 500), {"files_damaged", "checkpoint_incomplete"}),
        (only("checkpoints/objects.db", b"x" * 5000), {"files_damaged"}),
        (only("checkpoints/objects.db", None), {"checkpoint_incomplete"}),
        (only("hub.db", b"x" * 5000), {"database_damaged", "database_changed"}),
    ],
    ids=lambda value: ",".join(sorted(value)) if isinstance(value, set) else "",
)
def test_each_kind_of_damage_has_a_name(home: Path, change: Callable[[Path], None], kinds: set[str]) -> None:
    change(home)
    assert {finding.kind for finding in checked(home).findings} == kinds


async def test_a_running_hub_has_no_findings(home: Path) -> None:
    async with opened(home) as store:
        await store.commit("s_1", [Draft(MessageAccepted("m", "user", "new"), "t")])
        assert (await asyncio.to_thread(checked, home)).findings == ()


async def test_an_older_database_is_found(home: Path, made: Path) -> None:
    async with opened(home) as store:
        await store.commit("s_1", [Draft(MessageAccepted("m", "user", "new"), "t")])
    shutil.copy(made / "hub.db", home / "hub.db")
    found = await asyncio.to_thread(checked, home)
    assert [finding.kind for finding in found.findings] == ["database_changed", "database_older"]


async def _sealed(made: Path, home: Path) -> Path:
    """Return a copy of the folder, whose database is sealed."""
    shutil.copytree(made, home)
    store = await SqliteStore.open(home / "hub.db", clock=wall_clock, ring=Ring(home), at_rest=True)
    await store.aclose()
    return home


@pytest.mark.parametrize("at_rest", [False, True], ids=["plain", "sealed"])
@pytest.mark.long
async def test_a_byte_that_is_flipped_anywhere_is_found_salvaged_and_reported(
    made: Path, tmp_path: Path, at_rest: bool
) -> None:
    if at_rest:
        made = await _sealed(made, tmp_path / "sealed")
    size = (made / "hub.db").stat().st_size
    place = random.Random(11)
    salvaged = kept = 0
    for number in range(scaled(100, 8)):
        home = shutil.copytree(made, tmp_path / str(number))
        flip(home / "hub.db", place.randrange(size))
        before = await asyncio.to_thread(checked, home)
        assert before.findings
        store = await SqliteStore.open(
            home / "hub.db", clock=wall_clock, salvages=True, ring=Ring(home), at_rest=at_rest
        )
        (notice,) = store.notices  # the hub prints it
        if "was damaged" in notice:
            salvaged += 1
            assert len([p for p in home.glob("hub.db.damaged-*") if p.name[-4:] not in ("-wal", "-shm")]) == 1
        for stream in ("s_0", "s_1"):
            head = await store.head(stream)
            if head is None:
                continue
            after = Position(head.epoch, head.earliest - 1)
            while page := await store.page(stream, after):
                assert [r.prev for r in page] == [after.seq, *(r.seq for r in page[:-1])]
                kept += sum(r.type != Folded.type for r in page)
                after = page[-1].position
            assert after.seq == head.head
        await store.aclose()
        shutil.rmtree(home)
    assert salvaged
    assert kept > scaled(100, 8) * 120  # of about 159
