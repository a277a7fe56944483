"""The hub goes away while a shell waits for an answer: the shell starts the next hub, or waits for it, and
shows how the turn ended or goes on; the message is sent once, and the shell continues."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Shell
from tests.e2e.home import Machine
from tests.e2e.test_quotas import configure, request_of
from tests.provider.process import ProviderProcess
from tests.provider.script import Script

END = "aish: apollo failed: the hub stopped before the answer was complete (you can try again)\n"


@pytest.fixture
def gate(tmp_path: Path) -> str:
    """The gate at which the model waits, with a new name in each test."""
    return tmp_path.name


@pytest.fixture
def aish(machine: Machine, provider: ProviderProcess, gate: str, tmp_path: Path) -> Iterator[Shell]:
    """The shell, with a model that sends one chunk and then waits."""
    provider.forget()
    provider.script(default=Script(chunks=("first ", "never "), hold={1: gate}))
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "scripted",
    }
    shell = Shell(machine.folder, tmp_path)
    shell.environment = dict(machine.environment)
    yield shell
    provider.release(gate)


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "prompt", "line"),
    [
        (("-i", "apollo"), "apollo> ", "hi"),
        ((), "aish> ", "apollo hi"),
        ((), "aish> ", "@code-analysis << hi"),
    ],
)
def test_a_line_whose_hub_is_killed_shows_the_end_of_its_turn(
    aish: Shell,
    machine: Machine,
    provider: ProviderProcess,
    words: tuple[str, ...],
    prompt: str,
    line: str,
) -> None:
    with at_terminal(aish, *words, columns=120) as terminal:
        terminal.wait_for(prompt)
        terminal.type(f"{line}\n")
        terminal.wait_for("first ")
        killed = machine.hub_pid()
        machine.kill_hub()
        terminal.wait_for(END)
        terminal.wait_for(prompt, count=2)
        assert machine.hub_pid() != killed
        assert len(model_calls(provider)) == 1  # the message is not sent again
        provider.script(default=Script(chunks=("the next",)))
        terminal.type(f"{line}\n")
        terminal.wait_for("the next\n")
        terminal.wait_for(prompt, count=3)
        terminal.type("exit\n" if words else "exit 0\n")
        assert terminal.wait_for_end() == 0


@pytest.mark.long
def test_team_chat_whose_hub_is_killed_shows_the_end_of_its_plan(
    aish: Shell, machine: Machine, provider: ProviderProcess, gate: str
) -> None:
    with at_terminal(aish, "team-chat", "hi", columns=120) as terminal:
        provider.reached(gate)
        machine.kill_hub()
        assert terminal.wait_for_end() == 1
        assert END in terminal.screen
    with at_terminal(aish, "team-chat", "hi", columns=120) as terminal:
        provider.reached(gate)
        (machine.folder / "config.yaml").write_text("hub: {prt: 1}\n")
        machine.kill_hub()
        assert terminal.wait_for_end() == 5
        assert "aish: the hub did not start; see " in terminal.screen
        told = " ".join(terminal.screen.split())
        assert "line 1: hub.prt: there is no such setting; did you mean port?" in told


@pytest.mark.long
def test_a_turn_goes_on_under_the_next_hub_and_the_shell_waits_for_that_hub_up_to_30_seconds(
    machine: Machine, tmp_path: Path
) -> None:
    configure(machine, "ask")  # an agent that survives the hub, and whose turn is paused
    shell = Shell(machine.folder, tmp_path)
    shell.environment = dict(machine.environment)
    with at_terminal(shell, columns=200) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("first limit 3600\n")
        terminal.wait_for("[d] details")
        request = request_of(machine)["request_id"]
        with (machine.folder / "start.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # no shell can start a hub now
            machine.kill_hub()
            shown = terminal.screen
            terminal.read_for(3)
            assert terminal.screen == shown
        assert machine.run("approve", request, "now").returncode == 0
        terminal.wait_for('["limit 3600", "limit 3600"]\n')
        terminal.wait_for("aish> ", 2)
        assert terminal.screen.count('["limit') == terminal.screen.count("[d] details") == 1
        # nothing is told again by the prompt, whose own connection may find the next hub later
        assert "aish approve" not in terminal.screen and "withdrawn" not in terminal.screen
        asked = json.loads(machine.run("history", "json").stdout)
        assert [each["message"] for each in asked] == ["limit 3600"]

        terminal.type("first limit 7200\n")
        terminal.wait_for("[d] details", 2)
        assert machine.run("shutdown").returncode == 0  # nothing starts a hub that was told to stop
        machine.wait_for_end()
        began = time.monotonic()
        terminal.wait_for("aish: cannot reach the hub: No such file or directory; waited 30 s for it\n")
        assert 25 < time.monotonic() - began < 40
        terminal.wait_for("the turn is still paused, and the next hub continues it: aish explain first\n")
        terminal.wait_for("aish> ", 3)
        terminal.type("exit\n")
        assert terminal.wait_for_end() == 5


def model_calls(provider: ProviderProcess) -> list[str]:
    return [call["path"] for call in provider.calls() if call["path"].endswith("/completions")]
