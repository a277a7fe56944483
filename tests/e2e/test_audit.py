"""The audit of a hub in its own process: kills, backups, and what a user sees of it."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.e2e.restartable import RestartableHub

from rhetor.home import user_name

pytestmark = pytest.mark.long
SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


def entries(machine: Machine) -> list[dict[str, Any]]:
    shown = machine.rhetor("audit", "show", "-n", "0", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    return [json.loads(line) for line in shown.stdout.splitlines()]


def verify(machine: Machine) -> None:
    done = machine.rhetor("audit", "verify")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_an_action_that_a_kill_interrupted_has_an_unknown_outcome(machine: Machine) -> None:
    hub = RestartableHub(machine)
    try:
        hub.request("POST", "/api/mcp-servers", {"name": "slow", "command": SLEEPS})
        testing = threading.Thread(target=lambda: _ignored(hub, "POST", "/api/mcp-servers/slow/test"))
        testing.start()
        deadline = time.monotonic() + SECONDS
        while entries(machine)[-1]["action"] != "tool_server.test":
            assert time.monotonic() < deadline
        assert "pending   tool_server.test slow" in machine.rhetor("audit", "show").stdout
        hub.stop(signal.SIGKILL)
        testing.join()
        shown = machine.rhetor("audit", "show").stdout
        assert "unknown   tool_server.test slow" in shown
        assert "done      tool_server.add slow" in shown
        verify(machine)
        hub.start_again()
        hub.request("PUT", "/api/v2/budgets/global", {"tokens_per_day": 1})
        assert "unknown   tool_server.test slow" in machine.rhetor("audit", "show").stdout
        verify(machine)
    finally:
        hub.end()


def test_kills_during_many_actions_at_once_leave_a_whole_chain_with_every_answered_action(
    machine: Machine,
) -> None:
    hub = RestartableHub(machine)
    answered: list[str] = []

    def act(number: int) -> None:
        for turn in range(1000):
            name = f"caller.c{number}-{turn}"
            try:
                hub.request("PUT", f"/api/v2/budgets/{name}", {"tokens_per_day": 1})
            except (OSError, URLError):
                return
            answered.append(name)

    try:
        for _ in range(2):
            with ThreadPoolExecutor(50) as pool:
                running = [pool.submit(act, number) for number in range(50)]
                deadline = time.monotonic() + SECONDS
                target = len(answered) + 100
                while len(answered) < target:
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
                hub.stop(signal.SIGKILL)
                for each in running:
                    each.result(SECONDS)
            verify(machine)
            found = entries(machine)
            begun = {e["number"]: e["target"] for e in found if e["outcome"] == "begun"}
            done = {begun[e["of"]] for e in found if e.get("of") and e["outcome"] == "done"}
            assert set(answered) <= done
            hub.start_again()
    finally:
        hub.end()


def test_a_backup_keeps_the_chain_and_a_restore_continues_it(machine: Machine, tmp_path: Path) -> None:
    hub = RestartableHub(machine)
    try:
        hub.request("PUT", "/api/v2/budgets/global", {"tokens_per_day": 1})
        assert machine.rhetor("backup", str(tmp_path / "file")).returncode == 0
        hub.request("DELETE", "/api/v2/budgets/global")
        hub.stop(signal.SIGTERM)
        assert machine.rhetor("restore", str(tmp_path / "file")).returncode == 0
        verify(machine)
        hub.start_again()
        hub.request("PUT", "/api/v2/budgets/global", {"tokens_per_day": 2})
        verify(machine)
        found = entries(machine)
        assert [entry["action"] for entry in found] == [
            *("hub.start", "budget.set", "budget.set", "backup"),
            *("state.restore", "hub.start", "budget.set", "budget.set"),
        ]
        assert (found[3]["target"], found[3]["outcome"]) == (str(tmp_path / "file"), "started")
        assert found[4]["subject"] == found[5]["subject"] == user_name()
        assert re.fullmatch(r"at 20\S+Z, of a backup of 20\S+Z", found[4]["detail"])
        assert machine.rhetor("export", "--session", "hub").returncode == 0
        assert entries(machine)[-1]["action"] == "export"
    finally:
        hub.end()


def _ignored(hub: RestartableHub, method: str, path: str) -> None:
    with suppress(OSError, URLError):
        hub.request(method, path)
