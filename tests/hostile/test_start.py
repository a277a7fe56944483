"""A hub that cannot start names the reason and its place, exits with 2, and changes no file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.home import BIN, SECONDS, Machine
from tests.hostile.disk import small_disk

pytestmark = pytest.mark.long  # each test starts a hub, or several


def serve(machine: Machine, *flags: str) -> subprocess.CompletedProcess[str]:
    """`rhetor serve`, which is expected to exit by itself."""
    return subprocess.run(
        [f"{BIN}/rhetor", "serve", "--port", "0", *flags],
        env=machine.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def refusal(machine: Machine) -> str:
    """The error line of a hub that does not start."""
    ran = serve(machine)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("rhetor: ") and "Traceback" not in ran.stderr
    return ran.stderr


CONFIGURATIONS = {
    "a tab": ("hub:\n\tport: 0\n", "line 2, column 1: found character that cannot start any token"),
    "an unclosed quote": ('hub:\n  host: "x\n', "line 3"),
    "two documents": ("hub:\n  port: 0\n---\nhub: {}\n", "line 3"),
    "a list": ("- hub\n", "line 1: the file must be a mapping"),
    "a text": ("hub\n", "line 1: the file must be a mapping"),
    "a number as a key": ("1: 2\n", "keys must be text"),
    "a section without values": ("session:\n", "line 1: session: must be a mapping"),
    "an unknown section": ("session: {}\nhubb: {}\n", "line 2: hubb: there is no such setting"),
    "an unknown key": ("session:\n  ttl: 1\n  tll: 1\n", "line 3: session.tll: there is no such setting"),
    "a wrong type": ("hub:\n  port: [1]\n", "line 2: hub.port: must be a whole number"),
    "a wrong type deep inside": (
        "specialists:\n  apollo:\n    capabilities:\n      design: [1]\n",
        "line 4: specialists.apollo.capabilities.design",
    ),
    "an unknown kind": ("providers:\n  mine:\n    kind: llama\n", "line 3: providers.mine.kind"),
    "an unknown key of one of many": (
        "providers:\n  a: {kind: openai}\n  b:\n    key: x\n",
        "line 4: providers.b.key: there is no such setting",
    ),
    "a negative time": ("timeouts:\n  idle: -1\n", "line 2: timeouts.idle: must be a number above 0"),
    "a time that is not a number": ("timeouts:\n  idle: .nan\n", "line 2: timeouts.idle"),
    "a negative number": ("session:\n  context_window: -1\n", "line 2: session.context_window"),
    "an invalid port": ("hub:\n  port: 65536\n", "hub.port: must be a whole number of at most 65535"),
    "too many hops": ("limits:\n  hops: 65\n", "line 2: limits.hops"),
    "an invalid name": ("specialists:\n  a b: {}\n", "line 2: specialists.a b"),
    "an unknown member": ("teams:\n  t: [nobody]\n", "teams.t: no peer is called 'nobody'"),
    "an invalid score": (
        "specialists:\n  apollo: {capabilities: {design: 7}}\n",
        "specialists.apollo.capabilities.design: must be a score from 0 to 1",
    ),
    "another machine's address": ("hub:\n  host: 192.168.1.1\n", "hub.host: 192.168.1.1 can be reached"),
    "a tag of Python": ('hub: !!python/object/apply:os.system ["true"]\n', "line 1, column 6"),
    "an alias of itself": ("hub: &h\n  port: *h\n", "line 1: an alias stands for a value that contains it"),
    "a control character": ("hub: \x01\n", "control characters are not allowed"),
    "lists 20,000 deep": ("hub: " + "[" * 20_000, "config.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_an_invalid_configuration_is_rejected_with_its_line(machine: Machine, name: str) -> None:
    text, reason = CONFIGURATIONS[name]
    machine.folder.mkdir(mode=0o700)
    file = machine.folder / "config.yaml"
    file.write_text(text)
    said = refusal(machine)
    assert reason in said
    assert file.read_text() == text
    ran = machine.run("apollo", "hi")
    assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (5, "", False)
    assert reason in ran.stderr


def test_an_unreadable_configuration_is_named(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    file = machine.folder / "config.yaml"
    file.write_bytes(b"hub: \xff\n")
    assert f"{file}: 'utf-8' codec" in refusal(machine)
    file.unlink()
    file.mkdir()
    assert f"{file}: [Errno 21] Is a directory" in refusal(machine)


def test_an_invalid_variable_is_named(machine: Machine) -> None:
    for name, value in (("RHETOR_TIMEOUTS__IDLE", "-1"), ("RHETOR_SESSION__TTL", "soon")):
        machine.environment[name] = value
        assert name in refusal(machine)
        del machine.environment[name]


def test_a_home_that_is_a_file_is_rejected(machine: Machine) -> None:
    machine.folder.write_text("mine")
    assert f"{machine.folder}: File exists; choose another folder with RHETOR_HOME" in refusal(machine)
    ran = machine.run("apollo", "hi")
    assert (ran.returncode, ran.stdout, "Traceback" in ran.stderr) == (5, "", False)
    assert machine.folder.read_text() == "mine"


def test_a_home_on_a_read_only_disk_is_rejected(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m", "ro") as folder:
        machine = Machine(folder / "home")
        assert "Read-only file system; choose another folder with RHETOR_HOME" in refusal(machine)
        ran = machine.run("apollo", "hi")
        assert (ran.returncode, "Read-only file system" in ran.stderr) == (5, True)


def noise(file: Path) -> None:
    file.write_bytes(b"this is no database\n" * 5000)


def other_header(file: Path) -> None:
    with file.open("r+b") as database:
        database.write(b"SQLite format 4\0")


def broken_pages(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")
    with file.open("r+b") as pages:
        pages.seek(4096)
        pages.write(os.urandom(8 * 4096))


@pytest.mark.parametrize("damage", [noise, other_header, broken_pages])
def test_a_damaged_database_is_set_aside_unchanged_and_the_hub_starts(
    machine: Machine, damage: Callable[[Path], None]
) -> None:
    machine.run("apollo", "hi")
    machine.end()
    file = machine.folder / "hub.db"
    damage(file)
    before = file.read_bytes()
    ran = machine.run("apollo", "hi")
    (aside,) = (f for f in machine.folder.glob("hub.db.damaged-*") if not f.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes() == before
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False)
    assert f"{file} was damaged, and what could be read has replaced it" in ran.stderr
    assert str(aside) in ran.stderr
    assert "Apollo" in ran.stdout
    again = machine.run("apollo", "hi")
    assert (again.returncode, "damaged" in again.stderr) == (0, False)


def test_a_database_of_a_newer_version_is_not_changed(machine: Machine) -> None:
    machine.run("apollo", "hi")
    machine.end()
    file = machine.folder / "hub.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA user_version = 9999")
    before = file.read_bytes()
    assert "schema 9999" in refusal(machine)
    assert file.read_bytes() == before


def test_a_folder_in_place_of_the_database_is_named(machine: Machine) -> None:
    (machine.folder / "hub.db").mkdir(parents=True)
    machine.folder.chmod(0o700)
    assert f"{machine.folder}/hub.db" in refusal(machine)
