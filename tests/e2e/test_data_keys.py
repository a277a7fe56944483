"""`rhetor keys show|rotate|move` with a real hub, and a hub whose keys are lost."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from tests.canary import places
from tests.e2e.home import Machine
from tests.e2e.test_sessions import run_ok

CANARY = "canary-2c90-of-a-conversation"


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "RHETOR_ENCRYPTION__AT_REST": "true"}
    return machine


def say(machine: Machine, session: str) -> None:
    run_ok(machine, "session", "create", session, "--tool", "apollo")
    run_ok(machine, "apollo", CANARY, f"-s={session}")


def keys(machine: Machine) -> list[dict[str, object]]:
    shown = machine.rhetor("keys", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    found: list[dict[str, object]] = json.loads(shown.stdout)
    return found


@pytest.mark.long
def test_keys_are_rotated_while_the_hub_runs_and_old_content_is_readable(machine: Machine) -> None:
    say(machine, "old")
    (first,) = keys(machine)
    rotated = machine.rhetor("keys", "rotate")
    assert rotated.returncode == 0, rotated.stderr
    assert rotated.stdout.startswith("new content is sealed with the key ")
    deadline = time.monotonic() + 30
    while (found := keys(machine))[0]["in_use"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(key["id"] == first["id"], key["in_use"]) for key in found] == [(True, False), (False, True)]
    say(machine, "new")
    machine.kill_hub()
    offline = machine.rhetor("keys", "rotate")
    assert "the next hub seals older content again" in offline.stdout
    assert CANARY in run_ok(machine, "session", "export", "old")
    assert CANARY in run_ok(machine, "session", "export", "new")
    while any(key["in_use"] for key in keys(machine)[:2]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [key["in_use"] for key in keys(machine)] == [False, False, True]
    shown = machine.rhetor("keys", "show").stdout
    assert re.search(r"^\w{8}: made .*, replaced .*, not needed by the database$", shown, re.MULTILINE)
    assert places(machine.folder, CANARY) == []
    checked = machine.rhetor("check")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    exported = machine.rhetor("export", "--plain")
    assert CANARY in exported.stdout


@pytest.mark.long
def test_a_hub_without_its_keys_does_not_start_and_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    say(machine, "old")
    run_ok(machine, "shutdown")
    database, master = machine.folder / "hub.db", machine.folder / "master.key"
    before, key = database.read_bytes(), master.read_bytes()
    for wrong in (None, b"ab" * 32):
        master.unlink()
        if wrong:
            master.write_bytes(wrong)
            master.chmod(0o600)
        refused = machine.rhetor("serve", "--port", "0")
        assert refused.returncode == 2, refused.stderr
        assert re.search(r"rhetor: .*(master.key is missing|is not the one of).*put", refused.stderr)
        assert database.read_bytes() == before
        master.write_bytes(key)
    (tmp_path / "key").write_bytes(key)
    machine.environment["RHETOR_ENCRYPTION__KEY"] = f"command:cat {tmp_path / 'key'}"
    refused = machine.rhetor("serve", "--port", "0")
    assert (refused.returncode, "run rhetor keys move --from file" in refused.stderr) == (2, True)
    moved = machine.rhetor("keys", "move", "--from", "file")
    assert moved.returncode == 0, moved.stderr
    master.unlink()
    assert CANARY in run_ok(machine, "session", "export", "old")
