"""A hub whose log is in PostgreSQL, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aish.client.hub import Binary, Hub
from tests.e2e.home import Machine
from tests.pictures import MP3

from .cluster import Cluster, running

pytestmark = [pytest.mark.postgres]
PASSWORD = "correct-horse-77"


@pytest.fixture
def machine(tmp_path: Path, postgres_url: str) -> Iterator[Machine]:
    """A machine whose hub uses an empty database. The server asks for no password, so any is right."""
    made = Machine(tmp_path / "home")
    made.environment["RHETOR_STORE"] = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
    yield made
    made.leave()


def test_a_conversation_and_an_upload_survive_a_kill_of_the_hub(machine: Machine) -> None:
    assert machine.run("apollo", "remember the owl").returncode == 0
    hub = Hub(str(machine.folder), may_start=False)
    kept = hub.ask("POST", "/api/v2/blobs?name=song.mp3", Binary(MP3, "audio/mp3"))
    before = json.loads(machine.run("history", "--json").stdout)
    assert [each["message"] for each in before] == ["remember the owl"]
    machine.kill_hub()
    assert json.loads(machine.run("history", "--json").stdout) == before
    assert "remember the owl" in machine.run("history", "search", "OWL").stdout
    answer = hub.open("GET", f"/api/v2/blobs/{kept['blob_id']}")
    assert answer.body() == MP3
    answer.close()
    assert not [name for name in ("hub.db", "blobs") if (machine.folder / name).exists()]


def test_no_password_is_shown_or_logged(machine: Machine) -> None:
    assert machine.run("apollo", "hi").returncode == 0
    shown = machine.rhetor("config", "show").stdout
    assert "store: postgresql://postgres:(masked)@/" in shown
    machine.end()
    for path in machine.folder.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    machine.environment["RHETOR_STORE"] = f"postgresql://me:{PASSWORD}@127.0.0.1:1/nowhere"
    failed = machine.run("apollo", "hi")
    assert failed.returncode != 0
    said = failed.stdout + failed.stderr
    assert "postgresql://127.0.0.1:1/nowhere cannot be opened" in said
    assert PASSWORD not in said


def test_the_keys_that_the_database_needs_are_shown(machine: Machine) -> None:
    assert json.loads(machine.rhetor("keys", "show", "--json").stdout) == []
    assert machine.run("apollo", "hi").returncode == 0
    [key] = json.loads(machine.rhetor("keys", "show", "--json").stdout)
    assert key["in_use"]
    assert machine.rhetor("keys", "rotate").returncode == 0
    assert "needed by the database" in machine.rhetor("keys", "show").stdout


@pytest.mark.parametrize(
    "command",
    [("backup",), ("restore", "x"), ("check",), ("export",), ("audit", "show"), ("audit", "verify")],
)
def test_commands_that_need_a_database_file_say_what_to_use_instead(
    machine: Machine, command: tuple[str, ...]
) -> None:
    done = machine.rhetor(*command)
    assert done.returncode != 0
    assert "not in its state folder" in done.stderr
    assert PASSWORD not in done.stderr


def test_a_server_that_acknowledges_what_it_can_lose_is_rejected(
    machine: Machine, postgres: Cluster, postgres_url: str
) -> None:
    name = postgres_url.split("@/")[1].split("?")[0]
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = local")
    done = machine.rhetor("serve", "--port", "0")
    assert done.returncode != 0
    assert "synchronous_commit is local" in done.stderr
    assert "ALTER DATABASE" in done.stderr


def test_turns_wait_while_the_server_is_down(tmp_path: Path) -> None:
    with running("15") as cluster:
        machine = Machine(tmp_path / "home")
        machine.environment["RHETOR_STORE"] = cluster.url()
        try:
            assert machine.run("apollo", "one").returncode == 0
            pid = machine.hub_pid()
            cluster.kill()
            assert machine.run("apollo", "lost").returncode != 0
            cluster.start()
            assert machine.run("apollo", "two").returncode == 0
            assert machine.hub_pid() == pid
            assert "two" in machine.run("history").stdout
        finally:
            machine.leave()
