"""Budgets from the shell: what a user sees at a limit, and each way to go on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.e2e.home import Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script, Usage

pytestmark = pytest.mark.long
TEN = Usage(6, 4)


def _configured(machine: Machine, provider: ProviderProcess, budgets: str) -> None:
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    (machine.folder / "config.yaml").write_text(
        f"providers: {{box: {{base_url: '{provider.url}/v1', api_key_env: BOX_KEY}}}}\n"
        f"models: {{default: box/m, agents: []}}\nbudgets:\n{budgets}"
    )
    machine.environment["BOX_KEY"] = "sesame"
    provider.forget()
    provider.script(default=Script(chunks=("Fine.",), usage=TEN))


def _paused(machine: Machine, *words: str) -> tuple[subprocess.Popen[bytes], str]:
    """Send a message whose turn is paused, and return its `aish` and the first line of stderr."""
    process = machine.start(*words)
    assert process.stderr is not None
    return process, process.stderr.readline().decode()


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def test_each_way_to_go_on_works_from_the_shell(machine: Machine, provider: ProviderProcess) -> None:
    _configured(machine, provider, "  peer.apollo: {tokens_per_day: 10}\n")
    first = machine.run("apollo", "hi")
    assert (first.returncode, first.stdout) == (0, "Fine.\n")
    assert "100% of the budget peer.apollo is used: 10 of 10 tokens per day" in first.stderr

    process, line = _paused(machine, "apollo", "again")
    assert (
        "the budget peer.apollo is used up: 10 of 10 tokens per day" in line + machine.run("approve").stderr
    )
    assert _ended(process)[:2] == (0, "Fine.\n")  # `approve` without an id approved the only request: once

    process, _ = _paused(machine, "apollo", "again")
    (request,) = json.loads(machine.run("approve", "--json").stdout)
    assert [option["option_id"] for option in request["options"]][:2] == ["continue", "raise"]
    assert machine.run("deny", request["request_id"]).returncode == 0
    assert _ended(process)[:2] == (1, "")

    process, _ = _paused(machine, "apollo", "again")
    (request,) = json.loads(machine.run("approve", "--json").stdout)
    other = next(option for option in request["options"] if option["option_id"].startswith("peer:"))
    assert machine.run("approve", request["request_id"], other["option_id"]).returncode == 0
    assert _ended(process)[:2] == (0, "Fine.\n")

    process, _ = _paused(machine, "apollo", "again")
    (request,) = json.loads(machine.run("approve", "--json").stdout)
    assert machine.run("approve", request["request_id"], "raise").returncode == 0
    assert _ended(process)[:2] == (0, "Fine.\n")
    shown = machine.run("usage", "--budgets")
    assert "peer.apollo" in shown.stdout and "30 of 40 tokens per day" in shown.stdout
    (budget,) = json.loads(machine.run("usage", "--budgets", "--json").stdout)
    assert (budget["source"], budget["tokens_per_day"]) == ("api", 40)


def test_a_fallback_answers_and_stderr_says_why(machine: Machine, provider: ProviderProcess) -> None:
    _configured(
        machine, provider, "  peer.apollo:\n    tokens_per_day: 10\n    on_limit: {fallback: athena}\n"
    )
    machine.run("apollo", "hi")
    ran = machine.run("apollo", "again")
    assert (ran.returncode, ran.stdout) == (0, "Fine.\n")
    assert "athena answers instead of apollo: the budget peer.apollo is used up (10 of 10" in ran.stderr
    line = machine.run("-c", "apollo again")
    assert (line.returncode, line.stdout) == (0, "Fine.\n")
    assert "athena answers instead of apollo" in line.stderr


def test_nothing_that_was_spent_is_forgotten_when_the_hub_is_killed(
    machine: Machine, provider: ProviderProcess
) -> None:
    _configured(machine, provider, "  global: {tokens_per_day: 10000}\n")
    for _ in range(3):
        machine.run("apollo", "hi")
    provider.script(Script(chunks=("a", "b"), usage=TEN, hold={1: "middle"}))
    process = machine.start("athena", "hi")
    provider.reached("middle")
    machine.kill_hub()
    process.communicate(timeout=60)
    provider.release("middle")
    assert _tokens(machine) == 30
    machine.run("apollo", "hi")
    assert _tokens(machine) == 40
    machine.kill_hub()
    assert _tokens(machine) == 40


def _tokens(machine: Machine) -> int:
    (budget,) = json.loads(machine.run("usage", "--budgets", "--json").stdout)
    spent: int = budget["limits"][0]["spent"]
    return spent


def test_doctor_shows_budgets_and_turns_without_a_known_price(
    machine: Machine, provider: ProviderProcess, tmp_path: Path
) -> None:
    _configured(machine, provider, "  global: {usd_per_day: 1, tokens_per_day: 100}\n")
    machine.run("apollo", "hi")
    found = machine.run("doctor").stdout
    assert "global: 10 of 100 tokens per day" in found
    assert "global: 1 turn has no known price and counts 0 USD" in found
