"""`rhetor migrate --to`, run as a program on the state folder of a stopped hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.secrets import shown_url
from rhetor.home import Home
from rhetor.hub.core.ids import wall_clock
from rhetor.maintenance.moved import MARK, moved
from rhetor.maintenance.places import SqlitePlace
from rhetor.sealing.ring import Ring
from rhetor.store.blobs import FileBlobs
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.sqlite.store import SqliteStore
from tests.e2e.home import Machine
from tests.rhetor.store.rich import STREAMS, check_continues, fill, seen

pytestmark = pytest.mark.anyio
SECONDS = 120.0


def rhetor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rhetor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def migrate(home: Path, to: str, *more: str) -> subprocess.CompletedProcess[str]:
    return rhetor("migrate", "--home", str(home), "--to", to, *more)


async def filled(home: Path) -> dict[str, Any]:
    """Make a state folder with a log and a blob; return what a reader sees."""
    Home(home, {}).prepare()
    store = await SqliteStore.open(home / "hub.db", clock=wall_clock, ring=Ring(home))
    await fill(store)
    found = dict(await seen(store))
    await store.aclose()
    await FileBlobs(home / "blobs").keep(b"a picture")
    return found


async def test_a_log_moves_to_another_file_and_continues_there(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    before = await filled(home)
    done = migrate(home, f"sqlite:{other}/hub.db")
    assert (done.returncode, done.stderr) == (0, "")
    [aside] = home.glob("moved-*")
    assert done.stdout == (
        f"moved 169 events, 35 rows, 1 blob to sqlite:{other}/hub.db\nthe original is in {aside}\n"
    )
    assert {"blobs", "hub.db", "hub.db.witness"} <= {path.name for path in aside.iterdir()}
    began = rhetor("serve", "--home", str(home), "--port", "0")
    assert (began.returncode, began.stderr) == (
        2,
        f"rhetor: the log of {home} was moved to sqlite:{other}/hub.db; "
        f"remove {home}/moved.json to begin a new log here\n",
    )
    store = await SqliteStore.open(other / "hub.db", clock=wall_clock, ring=Ring(home))
    assert await seen(store) == before
    await check_continues(store, before)
    await store.aclose()
    again = migrate(home, f"sqlite:{tmp_path}/third.db")
    assert again.returncode == 2
    assert again.stderr == f"rhetor: {home} has no hub.db; its log was moved to sqlite:{other}/hub.db\n"


@pytest.mark.postgres
async def test_a_log_moves_to_postgresql(tmp_path: Path, postgres_url: str) -> None:
    home = tmp_path / "home"
    before = await filled(home)
    done = migrate(home, postgres_url)
    place = shown_url(postgres_url)
    assert (done.returncode, done.stderr) == (0, "")
    [aside] = home.glob("moved-*")
    assert done.stdout == (
        f"moved 169 events, 35 rows, 1 blob to {place}\nthe original is in {aside}\n"
        "now set store to that place in config.yaml, with its user and password\n"
    )
    store = await PostgresStore.open(postgres_url, clock=wall_clock, ring=Ring(home))
    assert await seen(store) == before
    other = await filled(tmp_path / "other")
    assert other.keys() == before.keys()
    used = migrate(tmp_path / "other", postgres_url)
    assert (used.returncode, f"a hub uses {place}" in used.stderr) == (2, True)
    await store.aclose()
    again = migrate(tmp_path / "other", postgres_url)
    assert (again.returncode, "has another log already" in again.stderr) == (2, True)
    secret = migrate(tmp_path / "other", "postgresql://me:s3cret@127.0.0.1:1/db")
    assert secret.returncode == 2
    assert "127.0.0.1:1/db cannot be opened" in secret.stderr
    assert "s3cret" not in secret.stderr


@pytest.mark.postgres
def test_a_hub_continues_in_postgresql_and_back_in_a_file(tmp_path: Path, postgres_url: str) -> None:
    machine = Machine(tmp_path / "home")
    try:
        assert machine.run("apollo", "remember the owl").returncode == 0
        machine.end()
        machine.wait_for_end()
        assert machine.rhetor("migrate", "--to", postgres_url).returncode == 0
        refused = machine.run("list")
        assert (refused.returncode != 0, "was moved to postgresql://" in refused.stderr) == (True, True)
        machine.environment["RHETOR_STORE"] = postgres_url
        assert machine.run("athena", "and the fox").returncode == 0
        machine.end()
        machine.wait_for_end()
        back = machine.rhetor("migrate", "--to", f"sqlite:{machine.folder}/hub.db")
        assert (back.returncode, back.stderr) == (0, "")
        assert back.stdout.startswith("moved ")
        again = machine.run("list")
        assert (again.returncode != 0, "was moved away" in again.stderr) == (True, True)
        del machine.environment["RHETOR_STORE"]
        said = json.loads(machine.run("history", "--json").stdout)
        assert [each["message"] for each in said] == ["remember the owl", "and the fox"]
        assert machine.rhetor("check").returncode == 0
        assert machine.rhetor("audit", "verify").returncode == 0
    finally:
        machine.leave()


async def test_new_epochs_begin_where_clients_may_have_seen_more(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    before = await filled(home)
    wrong = migrate(home, "postgresql://host/db", "--new-epochs")
    assert (wrong.returncode, "--new-epochs works with sqlite:PATH" in wrong.stderr) == (2, True)
    assert migrate(home, f"sqlite:{other}/hub.db", "--new-epochs").returncode == 0
    store = await SqliteStore.open(other / "hub.db", clock=wall_clock, ring=Ring(home))
    after = await seen(store)
    await store.aclose()
    for stream in STREAMS:
        earlier, later = before[f"head {stream}"], after[f"head {stream}"]
        assert later.epoch != earlier.epoch
        assert (later.head, later.earliest) == (earlier.head, earlier.earliest)
    assert after["rows session"] == before["rows session"]


@pytest.mark.parametrize("sealed", [False, True])
async def test_new_epochs_begin_in_a_database_of_postgresql(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    Home(tmp_path, {}).prepare()
    wrong = rhetor("migrate", "--home", str(tmp_path), "--new-epochs")
    assert (wrong.returncode, "an older hub.db is noticed" in wrong.stderr) == (2, True)
    monkeypatch.setenv("RHETOR_STORE", postgres_url)
    ring = Ring(tmp_path)
    store = await PostgresStore.open(postgres_url, clock=wall_clock, ring=ring, at_rest=sealed)
    await fill(store)
    before = dict(await seen(store))
    used = rhetor("migrate", "--home", str(tmp_path), "--new-epochs")
    assert (used.returncode != 0, "a hub uses" in used.stderr) == (True, True)
    await store.aclose()
    done = rhetor("migrate", "--home", str(tmp_path), "--new-epochs")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" streams have new epochs; clients read them again\n")
    store = await PostgresStore.open(postgres_url, clock=wall_clock, ring=ring, at_rest=sealed)
    after = await seen(store)
    await store.aclose()
    for stream in STREAMS:
        earlier, later = before[f"head {stream}"], after[f"head {stream}"]
        assert later.epoch != earlier.epoch
        assert (later.head, later.earliest) == (earlier.head, earlier.earliest)


async def test_an_interrupted_move_is_finished_by_the_same_command(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    await filled(home)
    copy = home / "hub.db.copy"
    copy.write_bytes((home / "hub.db").read_bytes())
    blobs = {path.name: path.read_bytes() for path in (home / "blobs").iterdir()}
    assert migrate(home, f"sqlite:{other}/hub.db").returncode == 0

    # the copy was complete, but nothing was noted here
    copy.rename(home / "hub.db")
    (home / MARK).unlink()
    (home / "blobs").mkdir()
    for name, content in blobs.items():
        (home / "blobs" / name).write_bytes(content)
    assert migrate(home, f"sqlite:{other}/hub.db").returncode == 0
    assert moved(home) is not None
    assert not (home / "hub.db").exists()

    # it was noted, and only a part was put aside
    (home / "hub.db").write_bytes(b"x")
    done = migrate(home, f"sqlite:{other}/hub.db")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        f"finished the move to sqlite:{other}/hub.db",
    )
    assert not (home / "hub.db").exists()


async def test_a_place_with_another_log_is_not_touched(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    await filled(home)
    await filled(other)
    before = (other / "hub.db").read_bytes()
    done = migrate(home, f"sqlite:{other}/hub.db")
    assert (done.returncode, "has another log already; name an empty database" in done.stderr) == (2, True)
    assert (other / "hub.db").read_bytes() == before
    assert (home / "hub.db").exists()
    assert not (home / MARK).exists()


async def test_a_running_hub_a_missing_log_and_a_wrong_place_exit_with_2(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "does not exist; name the state folder" in migrate(home, "sqlite:x").stderr
    Home(home, {}).prepare()
    assert "has no hub.db; name the state folder" in migrate(home, f"sqlite:{tmp_path}/x").stderr
    await filled(home)
    wrong = migrate(home, "mysql://host/db")
    assert (wrong.returncode, "write postgresql://USER@HOST/DATABASE or sqlite:PATH" in wrong.stderr) == (
        2,
        True,
    )
    assert "the log is in" in migrate(home, f"sqlite:{home}/hub.db").stderr
    held = Home(home, {})
    held.lock()
    try:
        done = migrate(home, f"sqlite:{tmp_path}/x.db")
    finally:
        held.release()
    assert (done.returncode, "a hub is running in" in done.stderr) == (2, True)


async def test_a_failed_move_leaves_no_file(tmp_path: Path) -> None:
    await filled(tmp_path / "home")
    place = SqlitePlace(tmp_path / "other/hub.db", Ring(tmp_path))
    with pytest.raises(RuntimeError, match="interrupted"):
        async with place.writing():
            raise RuntimeError("interrupted")
    assert list((tmp_path / "other").iterdir()) == []
