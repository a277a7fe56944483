"""A permission request that the shell and the web console show at the same time: one answer counts, and both
show it. Hub, shell and browser are real; the agent is a script with the protocol of a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import Shell
from tests.console.browser import linked
from tests.e2e.home import Machine
from tests.e2e.test_coding_agents import COMMON, agent

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

ASKS = (
    COMMON
    + """
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "user":
        tell(type="system", subtype="init", session_id="c1", model="m")
        request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "touch made"}}
        tell(type="control_request", request_id="r1", request=request)
    elif message["type"] == "control_response":
        said = message["response"]["response"]["behavior"]
        tell(type="result", subtype="success", is_error=False, result=f"it was: {said}", num_turns=1)
"""
)


@contextmanager
def shell(machine: Machine, *words: str) -> Iterator[Terminal]:
    """Run `aish` of this machine at a terminal."""
    made = Shell(machine.folder, machine.folder)
    made.environment = machine.environment
    command = [str(machine.bin / "aish"), *words]
    with at_terminal(made, term="xterm-256color", echo=True, command=command) as terminal:
        yield terminal


def console(machine: Machine, path: str) -> AbstractAsyncContextManager[Page]:
    return linked(machine.run("console", "--print").stdout.strip(), path)


def request_in(page: Page) -> Locator:
    return page.get_by_role("region", name="agent asks to use Bash")


def answers(machine: Machine) -> list[tuple[Any, Any]]:
    """Return all answers in the log of the only session, with who gave them."""
    [found] = json.loads(machine.run("sessions", "list", "--json").stdout)
    exported = json.loads(machine.run("sessions", "export", found["id"], "--format", "json").stdout)
    events = [event for event in exported["events"] if event["type"] == "permission.answered"]
    return [(event["data"]["option_id"], event["data"]["by"]) for event in events]


def waits(terminal: Terminal) -> None:
    terminal.wait_for_screen(lambda rows: any("[n] deny" in row for row in rows))
    terminal.read_for(0.4)  # what is typed before is dropped


async def test_a_request_that_the_page_grants_is_over_in_the_shell(machine: Machine) -> None:
    agent(machine, "claude", ASKS)
    async with console(machine, "/permissions") as page:
        with shell(machine, "agent", "make it") as terminal:
            waits(terminal)
            request = request_in(page)
            await expect(request.get_by_text("touch made", exact=True)).to_be_visible()
            await request.get_by_role("button", name="Allow once").click()
            await expect(request.get_by_text("You answered here: Allow once")).to_be_visible()
            assert terminal.wait_for_end() == 0
            rows = terminal.all_rows
    assert any("Bash was answered elsewhere: allow once" in row for row in rows), rows
    assert rows[-1] == "it was: allow"
    assert len(answers(machine)) == 1


async def test_a_request_that_the_shell_denies_is_over_in_the_page(machine: Machine) -> None:
    agent(machine, "claude", ASKS)
    async with console(machine, "/permissions") as page:
        with shell(machine, "agent", "make it") as terminal:
            waits(terminal)
            request = request_in(page)
            await expect(request.get_by_role("button", name="Deny")).to_be_visible()
            terminal.type("n")
            await expect(request.get_by_text("Answered elsewhere")).to_be_visible()
            assert await request.get_by_role("button").count() == 0
            terminal.wait_for_end()
            rows = terminal.all_rows
    assert "✗ agent: deny" in rows
    assert len(answers(machine)) == 1
