"""The hub is killed while a shell waits for an answer: the shell starts the next hub and shows how the turn
ended; the message is sent once, and the shell continues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Shell
from tests.e2e.home import Machine
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


def model_calls(provider: ProviderProcess) -> list[str]:
    return [call["path"] for call in provider.calls() if call["path"].endswith("/completions")]
