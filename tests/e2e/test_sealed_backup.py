"""Sealed backups and exports, as a user makes them, and their way to another machine."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.canary import places
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_programs import PYTHON, wrapped
from tests.e2e.test_sessions import run_ok
from tests.scale import FULL

from rhetor.sealing.age import OpenedReader

CANARY = "canary-7f3a-of-a-backup"
WORDS = "correct horse"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Machine]:
    """Another machine, which has none of the first one's keys."""
    made = Machine(tmp_path / "other")
    made.environment |= {"RHETOR_MODELS__DEFAULT": "offline"}
    yield made
    made.leave()


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "RHETOR_PASSPHRASE": WORDS}
    return machine


def opened(file: Path) -> bytes:
    with file.open("rb") as source:
        return OpenedReader(source, WORDS).read()


def said_in(export: bytes) -> list[bytes]:
    """Return the lines of an export without those of the audit, which has every export."""
    events = [(json.loads(line)["type"], line) for line in export.splitlines()]
    return [line for kind, line in events if not kind.startswith("audit")]


@pytest.mark.long
def test_a_sealed_backup_is_restored_on_another_machine(
    machine: Machine, other: Machine, tmp_path: Path
) -> None:
    machine.environment["RHETOR_ENCRYPTION__AT_REST"] = "true"
    run_ok(machine, "apollo", CANARY)
    wrapped(machine, "tool", "mirror", *PYTHON, "input()")
    (tmp_path / "usb").mkdir()
    file = tmp_path / "usb" / "state.backup.age"
    made = machine.rhetor("backup", str(file))
    assert (made.returncode, made.stdout, made.stderr) == (0, f"{file}\n", "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert places(tmp_path / "usb", CANARY) == []
    assert list(machine.folder.glob("backup-*")) == []
    words = tmp_path / "words"
    words.write_text("wrong\n")
    refused = other.rhetor("restore", str(file), "--passphrase-file", str(words))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"rhetor: {file} cannot be opened: the passphrase is wrong\n"
    words.write_text(f"{WORDS}\n")
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-1])
    refused = other.rhetor("restore", str(cut), "--passphrase-file", str(words))
    assert refused.returncode == 2
    assert refused.stderr == f"rhetor: {cut} is damaged: it was cut or changed\n"
    assert {path.name for path in other.folder.iterdir()} <= {"hub.pid", "runtime"}
    done = other.rhetor("restore", str(file), "--passphrase-file", str(words))
    assert (done.returncode, done.stderr) == (0, "")
    assert CANARY in run_ok(other, "history")
    assert (other.folder / "master.key").read_bytes() != (machine.folder / "master.key").read_bytes()


@pytest.mark.long
@pytest.mark.skipif(not FULL, reason="`make test-long` runs it")
def test_a_restore_keeps_the_keys_of_what_it_replaces(
    machine: Machine, other: Machine, tmp_path: Path
) -> None:
    for each in (machine, other):
        each.environment |= {"RHETOR_ENCRYPTION__AT_REST": "true", "RHETOR_PASSPHRASE": WORDS}
    run_ok(machine, "apollo", CANARY)
    run_ok(other, "apollo", "replaced")
    file = tmp_path / "state.backup.age"
    assert machine.rhetor("backup", str(file)).returncode == 0
    other.end()
    other.wait_for_end()
    assert other.rhetor("restore", str(file)).returncode == 0
    assert CANARY in run_ok(other, "history")
    other.end()
    other.wait_for_end()
    (aside,) = other.folder.glob("replaced-*")
    for path in aside.iterdir():
        target = other.folder / path.name
        if target.exists():
            target.rename(tmp_path / path.name)
        path.rename(target)
    (other.folder / "hub.db.witness").unlink(missing_ok=True)
    assert "replaced" in run_ok(other, "history")


@pytest.mark.long
def test_a_backup_and_an_export_are_sealed_only_if_that_is_wanted(machine: Machine, tmp_path: Path) -> None:
    run_ok(machine, "apollo", CANARY)
    for command in ("backup", "export"):
        words = (command,) if command == "backup" else (command, "-o")
        assert machine.rhetor(*words, str(tmp_path / f"{command}-plain")).returncode == 0
        assert machine.rhetor(*words, str(tmp_path / f"{command}-sealed"), "--seal").returncode == 0
    machine.environment["RHETOR_ENCRYPTION__AT_REST"] = "true"
    assert machine.rhetor("export", "-o", str(tmp_path / "export-at-rest")).returncode == 0
    assert machine.rhetor("export", "-o", str(tmp_path / "export-as-asked"), "--plain").returncode == 0
    names = [
        "backup-plain",
        "backup-sealed",
        "export-as-asked",
        "export-at-rest",
        "export-plain",
        "export-sealed",
    ]
    contents = {name: (tmp_path / name).read_bytes() for name in names}
    plain = [name for name in names if CANARY.encode() in contents[name]]
    assert plain == ["backup-plain", "export-as-asked", "export-plain"]
    for name in ("export-sealed", "export-at-rest"):
        assert said_in(opened(tmp_path / name)) == said_in(contents["export-plain"])
    assert CANARY.encode() in opened(tmp_path / "backup-sealed")


@pytest.mark.long
@pytest.mark.skipif(not FULL, reason="`make test-long` runs it")
def test_without_a_passphrase_there_is_no_sealed_file(machine: Machine, tmp_path: Path) -> None:
    run_ok(machine, "apollo", "hello")
    del machine.environment["RHETOR_PASSPHRASE"]
    asked = subprocess.run(
        [machine.bin / "rhetor", "backup", str(tmp_path / "b"), "--seal"],
        env=machine.environment,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=SECONDS,
    )
    assert asked.returncode == 2
    assert "set RHETOR_PASSPHRASE, or use --passphrase-file" in asked.stderr
    empty = tmp_path / "empty"
    empty.write_text("\n")
    refused = machine.rhetor("backup", str(tmp_path / "b"), "--seal", "--passphrase-file", str(empty))
    assert (refused.returncode, "is empty" in refused.stderr) == (2, True)
    assert not (tmp_path / "b").exists()
    for second, code in (("other", 2), (WORDS, 0)):
        assert _typed(machine, ["backup", str(tmp_path / "b"), "--seal"], WORDS, second) == code
        assert (tmp_path / "b").exists() == (code == 0)


def _typed(machine: Machine, words: list[str], *answers: str) -> int:
    """Run a command in a terminal, and answer its questions. Return its exit code."""
    pid, terminal = pty.fork()
    if not pid:
        os.execve(machine.bin / "rhetor", ["rhetor", *words], machine.environment)
    shown, left, deadline = b"", list(answers), time.monotonic() + SECONDS
    while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            shown += os.read(terminal, 1024)
        except OSError:
            break
        if left and shown.lower().count(b"passphrase") > len(answers) - len(left) and shown.endswith(b": "):
            os.write(terminal, left.pop(0).encode() + b"\n")
    os.close(terminal)
    assert WORDS.encode() not in shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
