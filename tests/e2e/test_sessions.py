"""Named conversations: they survive a killed hub, and can be forked, exported and ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.e2e.home import Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script


def run_ok(machine: Machine, *words: str) -> str:
    ran = machine.run(*words)
    assert ran.returncode == 0, ran
    return ran.stdout


def last_messages(provider: ProviderProcess) -> list[str]:
    """Return the texts of the messages in the model's last call."""
    body: dict[str, Any] = provider.calls()[-1]["body"]
    return [message["content"] for message in body["messages"] if message["role"] != "system"]


def test_a_named_conversation_survives_a_killed_hub(machine: Machine, provider: ProviderProcess) -> None:
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "scripted",
    }
    provider.script(*(Script(chunks=(f"answer {number}",)) for number in range(1, 5)))
    assert run_ok(machine, "session", "create", "design", "--tool", "apollo").startswith(
        "✓ Created session design with apollo ("
    )
    assert run_ok(machine, "apollo", "one", "-s=design") == "answer 1\n"
    machine.kill_hub()
    assert "aish apollo --session-id design" in run_ok(machine, "session", "resume", "design")
    assert run_ok(machine, "apollo", "--session-id", "design", "two") == "answer 2\n"
    assert last_messages(provider) == ["one", "answer 1", "two"]

    assert run_ok(machine, "session", "fork", "design").startswith("✓ Forked design as design-2 (")
    assert run_ok(machine, "apollo", "three", "-s=design-2") == "answer 3\n"
    assert run_ok(machine, "apollo", "four", "-s=design") == "answer 4\n"
    assert last_messages(provider) == ["one", "answer 1", "two", "answer 2", "four"]

    read = run_ok(machine, "session", "export", "design")
    assert [line for line in read.splitlines() if line in ("one", "answer 1", "two", "four", "# design")] == [
        *("# design", "one", "answer 1", "two", "four")
    ]
    whole = json.loads(run_ok(machine, "session", "export", "design", "--format", "json"))
    lines = run_ok(machine, "session", "export", "design", "--format=jsonl").splitlines()
    assert whole["events"] == [json.loads(line) for line in lines]
    assert [event["seq"] for event in whole["events"]] == list(range(1, len(lines) + 1))
    assert [m["content"] for m in whole["messages"]][-2:] == ["four", "answer 4"]

    assert "design-2" in run_ok(machine, "sessions", "list")
    assert run_ok(machine, "session", "delete", "design").startswith("✓ Deleted design")
    assert machine.run("session", "show", "design").returncode == 3
    assert machine.run("apollo", "five", "-s=design").returncode == 3
    kept = [s["name"] for s in json.loads(run_ok(machine, "sessions", "list", "--json"))]
    assert kept == ["design-2"]
    run_ok(machine, "session", "create", "design", "--tool", "apollo")


def test_an_unnamed_conversation_can_be_saved_under_a_name(
    machine: Machine, provider: ProviderProcess
) -> None:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline"}
    run_ok(machine, "apollo", "hello", "-s")
    assert "✓ Saved the session with apollo as work (" in run_ok(machine, "session", "save", "work")
    assert "checkpoint c_" in run_ok(machine, "session", "save", "work")
    (session,) = json.loads(run_ok(machine, "sessions", "list", "--tool", "apollo", "--json"))
    assert (session["name"], session["ttl"]) == ("work", None)
    assert machine.run("session", "save", "other", "--tool", "apollo").returncode == 3


@pytest.mark.long
def test_each_failure_of_a_session_command_has_its_exit_code(machine: Machine) -> None:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline"}
    run_ok(machine, "session", "create", "work", "--tool", "apollo")
    codes = {
        ("session", "create", "work", "--tool", "apollo"): 1,
        ("session", "create", "other"): 2,
        ("session", "create", "other", "--tool", "nobody"): 3,
        ("session", "create", "other", "--tool", "apollo", "--cwd", "/no/such/folder"): 2,
        ("session", "fly"): 2,
        ("session", "show", "none"): 3,
        ("session", "fork", "none"): 3,
        ("session", "resume", "athena", "work"): 2,
        ("session", "export", "work", "--format", "pdf"): 2,
        ("sessions", "list", "--tool", "nobody"): 3,
        ("sessions", "import", "--since", "yesterday"): 2,
        ("sessions", "import", "--tool", "apollo"): 2,
        ("sessions", "import", "/no/such/file.jsonl"): 1,
    }
    assert {words: machine.run(*words).returncode for words in codes} == codes
