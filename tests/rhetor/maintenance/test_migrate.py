"""`rhetor migrate`, run as a program on the database of a stopped hub."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rhetor.domain.event import MessageAccepted
from rhetor.home import Home
from rhetor.hub.core.ids import wall_clock
from rhetor.store.base import Draft
from rhetor.store.sqlite.schema import MIGRATIONS
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio
NEWEST = len(MIGRATIONS)


def migrate(home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rhetor", "migrate", "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def with_schema(home: Path, number: int) -> None:
    """Make a database of an earlier version, with one message."""
    home.mkdir(mode=0o700)
    with closing(sqlite3.connect(home / "hub.db")) as database:
        for at, script in enumerate(MIGRATIONS[:number], start=1):
            database.executescript(f"{script}\nPRAGMA user_version = {at};")
        database.execute("INSERT INTO incarnations (stream, epoch) VALUES ('s_1', ?)", ("a" * 32,))
        data = b'{"message_id":"m","role":"user","content":"hi"}'
        place = (1, 1, 5, "message.accepted", "t_1", None, data)
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", place)
        database.commit()


@pytest.mark.long
async def test_an_older_database_gets_the_newest_schema_and_keeps_its_log(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with_schema(home, 2)
    done = migrate(home)
    assert (done.returncode, done.stdout) == (0, f"migrated the database from schema 2 to {NEWEST}\n")
    again = migrate(home)
    assert (again.returncode, again.stdout) == (0, f"the database has schema {NEWEST}, which is the newest\n")
    store = await SqliteStore.open(home / "hub.db", clock=wall_clock)
    head = await store.head("s_1")
    assert head is not None and head.head == 1
    await store.commit("s_1", [Draft(MessageAccepted("m2", "user", "after"), "t_2")])
    assert (await store.head("s_1")).head == 2  # type: ignore[union-attr]
    await store.aclose()


def test_a_newer_database_is_rejected_and_not_changed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with_schema(home, NEWEST)
    with closing(sqlite3.connect(home / "hub.db")) as database:
        database.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = (home / "hub.db").read_bytes()
    done = migrate(home)
    assert done.returncode == 2
    assert f"the database has schema {NEWEST + 1}, but this version of rhetor supports only" in done.stderr
    assert (home / "hub.db").read_bytes() == before


@pytest.mark.long
def test_a_running_hub_and_a_missing_database_exit_with_2(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert (migrate(home).returncode, "has no hub.db" in migrate(home).stderr) == (2, True)
    with_schema(home, NEWEST)
    held = Home(home, {})
    held.lock()
    try:
        done = migrate(home)
    finally:
        held.release()
    assert (done.returncode, "a hub is running in" in done.stderr) == (2, True)


def test_a_damaged_database_is_reported(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with_schema(home, 2)
    (home / "hub.db").write_bytes(b"x" * 8192)
    done = migrate(home)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "hub.db" in done.stderr
