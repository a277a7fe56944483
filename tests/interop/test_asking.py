"""Permission requests of real coding agents, answered on the terminal of the turn."""

from __future__ import annotations

import re

import pytest
from tests.aish.pseudo_terminal import Terminal
from tests.interop.agents import Agent
from tests.interop.home import House
from tests.provider.script import Script

KEYS = r".*\[y\] allow once.*\[n\] deny.*\[d\] details"


@pytest.fixture
def asking_agent(agent: Agent) -> Agent:
    """An agent that requests permission."""
    if not agent.asks_first:
        pytest.skip("cn 1.5 can request permission only at its own terminal, otherwise it denies")
    return agent


def wait_for_request(terminal: Terminal) -> None:
    terminal.wait_for_screen(lambda rows: bool(rows) and re.fullmatch(KEYS, " ".join(rows[-3:])) is not None)
    terminal.read_for(0.4)  # what is typed before is dropped


@pytest.mark.parametrize("key", ["y", "a", "n"])
def test_a_request_is_answered_in_place(asking_agent: Agent, house: House, key: str) -> None:
    agent = asking_agent
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),)), Script(chunks=("That was it.",))
    )
    with house.at_terminal(agent.name, "make it") as terminal:
        wait_for_request(terminal)
        assert any("touch made" in row for row in terminal.rows)
        assert not (house.work / "made").exists()
        assert ("[a] allow always" in " ".join(terminal.rows)) is agent.allows_always
        if key == "a" and not agent.allows_always:
            key = "y"
        terminal.type(key)
        assert terminal.wait_for_end() == 0
        rows = terminal.all_rows
    word = {"y": "✓ {}: allow once", "a": "✓ {}: allow always", "n": "✗ {}: deny"}[key]
    assert word.format(agent.name) in rows
    assert (house.work / "made").exists() is (key != "n")
    goes_on = key != "n" or agent.continues_after_denial
    assert ("That was it." in rows) is goes_on
    assert house.open_requests() == []


def test_a_call_that_is_always_allowed_is_not_asked_again(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    if not agent.allows_always:
        pytest.skip("it offers no such answer")
    calls = [Script(tool_calls=(agent.command("touch made", id),)) for id in "12"]
    house.provider.script(*calls, Script(chunks=("That was it.",)))
    with house.at_terminal(agent.name, "make it") as terminal:
        wait_for_request(terminal)
        terminal.type("a")
        assert terminal.wait_for_end() == 0
    assert sum("asks to use" in row for row in terminal.all_rows) == 1
    assert terminal.all_rows[-1] == "That was it."


def test_text_that_is_typed_ahead_answers_nothing(asking_agent: Agent, house: House) -> None:
    agent = asking_agent
    house.provider.script(
        Script(tool_calls=(agent.command("touch made", "1"),), hold={0: "held"}),
        Script(chunks=("That was it.",)),
    )
    with house.at_terminal(agent.name, "make it") as terminal:
        house.provider.reached("held")
        terminal.type("yes\r")
        house.provider.release("held")
        wait_for_request(terminal)
        terminal.type("yes\r")
        terminal.read_for(1.0)
        assert len(house.open_requests()) == 1
        assert not (house.work / "made").exists()
        terminal.type("n")
        assert terminal.wait_for_end() == 0
    assert not (house.work / "made").exists()
