"""Backups and restores, as a user makes them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from tests.e2e.home import Machine
from tests.e2e.test_checkpoints import site  # noqa: F401  # a fixture
from tests.e2e.test_sessions import run_ok
from tests.hostile.disk import small_disk

from rhetor.domain.event import MessageAccepted, OutputDelta
from rhetor.domain.session import Session
from rhetor.domain.turn import TurnState
from rhetor.home import user_name
from rhetor.hub.catalog.sessions import session_row
from rhetor.hub.catalog.turns import TurnRow
from rhetor.hub.core.ids import wall_clock
from rhetor.store.base import Draft
from rhetor.store.sqlite.store import SqliteStore


def cursor(machine: Machine, session: str) -> str:
    shown: str = json.loads(run_ok(machine, "session", "show", session, "--json"))["cursor"]
    return shown


@pytest.mark.long
def test_a_backup_of_a_running_hub_brings_back_conversations_and_files(
    machine: Machine,
    site: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    (site / "a").write_text("one")
    run_ok(machine, "apollo", "kept", "-s=work")
    run_ok(machine, "session", "checkpoint", "work", "first")
    file = tmp_path / "state.backup"
    made = machine.rhetor("backup", str(file))
    assert (made.returncode, made.stdout, made.stderr) == (0, f"{file}\n", "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert list(machine.folder.glob("backup-*")) == []

    run_ok(machine, "apollo", "lost", "-s=work")
    (site / "a").write_text("two")
    before = cursor(machine, "work")
    refused = machine.rhetor("restore", str(file))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"rhetor: a hub is running in {machine.folder}; stop it with aish shutdown\n"
    machine.end()
    done = machine.rhetor("restore", str(file))
    (aside,) = machine.folder.glob("replaced-*")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"; what it replaced is in {aside}\n")
    assert {path.name for path in aside.iterdir()} == {"hub.db", "hub.db.witness", "checkpoints"}

    messages = run_ok(machine, "session", "show", "work")
    assert ("kept" in messages, "lost" in messages) == (True, False)
    now = cursor(machine, "work")
    assert now.partition(":")[0] != before.partition(":")[0]
    run_ok(machine, "session", "restore", "work", "first", "--yes")
    assert (site / "a").read_text() == "one"
    assert "salvag" not in machine.run("status").stderr


@pytest.mark.long
def test_a_backup_needs_no_hub_and_is_restored_into_an_empty_folder(machine: Machine, tmp_path: Path) -> None:
    run_ok(machine, "session", "create", "work", "--tool", "apollo")
    run_ok(machine, "apollo", "kept", "-s=work")
    machine.end()
    untouched = (machine.folder / "hub.db").stat()
    file = tmp_path / "state.backup"
    assert machine.rhetor("backup", str(file)).returncode == 0
    assert (machine.folder / "hub.db").stat() == untouched
    taken = machine.rhetor("backup", str(file))
    assert taken.returncode == 2
    assert f"{file} exists already; a backup never overwrites a file" in taken.stderr

    other = Machine(tmp_path / "other")
    done = other.rhetor("restore", str(file))
    assert (done.returncode, list(other.folder.glob("replaced-*"))) == (0, [])
    assert done.stderr == (
        "rhetor: not restored, because a plain backup has no keys: the key that verifies the audit; a backup "
        "made with --seal has them\n"
    )
    try:
        assert "kept" in run_ok(other, "session", "show", "work")
        verified = other.rhetor("audit", "verify")
        assert (verified.returncode, verified.stdout.count("\n")) == (1, 2)
        assert verified.stdout.startswith("audit_key  entry 1  the entries 1 to ")
    finally:
        other.leave()


@pytest.mark.long
def test_a_backup_that_does_not_fit_on_the_disk_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    run_ok(machine, "apollo", "hi")
    for size in ("40k", "128k"):  # full while the database is copied, and afterwards
        with small_disk(tmp_path / size, size) as disk:
            full = machine.rhetor("backup", str(disk / "state.backup"))
            assert (full.returncode, full.stdout) == (1, "")
            assert full.stderr.endswith(": No space left on device\n")
            assert list(disk.iterdir()) == []
    assert list(machine.folder.glob("backup-*")) == []


@pytest.mark.long
def test_a_backup_that_is_stopped_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.folder.mkdir(mode=0o700)
    asyncio.run(_large(machine.folder / "hub.db"))
    target = tmp_path / "target"
    target.mkdir()
    command = [str(machine.bin / "rhetor"), "backup", str(target / "state.backup")]
    backup = subprocess.Popen(command, env=machine.environment)
    while not list(target.glob(".state.backup.part-*/hub.db")):
        assert backup.poll() is None
        time.sleep(0.001)
    backup.terminate()
    assert backup.wait() == 130
    assert list(target.iterdir()) == []
    assert list(machine.folder.glob("backup-*")) == []


async def _large(path: Path) -> None:
    store = await SqliteStore.open(path, clock=wall_clock)
    for _ in range(100):
        await store.commit("s_1", [Draft(OutputDelta("x" * 1_000_000), "t_1")])
    await store.aclose()


@pytest.mark.long
def test_a_turn_that_may_have_run_since_the_backup_does_not_run_again(
    machine: Machine, tmp_path: Path
) -> None:
    machine.folder.mkdir(mode=0o700)
    asyncio.run(_with_waiting_turn(machine.folder / "hub.db"))
    file = tmp_path / "state.backup"
    assert machine.rhetor("backup", str(file)).returncode == 0
    assert machine.rhetor("restore", str(file)).returncode == 0
    events = run_ok(machine, "session", "export", "work", "--format", "jsonl").splitlines()
    assert [json.loads(line)["type"] for line in events] == ["message.accepted", "turn.interrupted"]
    assert "restored from a backup" in events[-1]


async def _with_waiting_turn(path: Path) -> None:
    store = await SqliteStore.open(path, clock=wall_clock)
    now = wall_clock()
    session = Session("s_1", "apollo", user_name(), now, now, name="work")
    turn = TurnRow("t_1", "s_1", "apollo", TurnState.ACCEPTED, user_name(), "m_1", 0, at=now)
    await store.commit(
        "s_1", [Draft(MessageAccepted("m_1", "user", "go"), "t_1")], rows=[session_row(session), turn.row()]
    )
    await store.aclose()


@pytest.mark.parametrize(
    "what", ["changed", *(pytest.param(what, marks=pytest.mark.long) for what in ("cut", "foreign"))]
)
def test_a_file_that_is_not_a_sound_backup_changes_nothing(
    machine: Machine, tmp_path: Path, what: str
) -> None:
    machine.folder.mkdir(mode=0o700)
    asyncio.run(_with_waiting_turn(machine.folder / "hub.db"))
    file = tmp_path / "state.backup"
    assert machine.rhetor("backup", str(file)).returncode == 0
    data = file.read_bytes()
    middle = len(data) // 2
    if what == "cut":
        file.write_bytes(data[:middle])
    elif what == "changed":
        file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    else:
        with tarfile.open(file, "w") as tar:
            tar.add(machine.folder / "hub.db", "hub.db")
    before = (machine.folder / "hub.db").stat()
    refused = machine.rhetor("restore", str(file))
    assert refused.returncode == 2
    assert str(file) in refused.stderr
    assert (machine.folder / "hub.db").stat() == before
    assert [path.name for path in machine.folder.glob("re*")] == []
