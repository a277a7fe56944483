"""Lines that survive a lost connection, at the prompt and with team-chat, with a real hub and terminal."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.event import PermissionOption, TurnInterrupted
from rhetor.domain.output import Done, Permission, Text
from rhetor.errors import ProviderFailed
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import ScriptedHub, Shell, answer
from tests.scripted import PEERS
from tests.served import served

pytestmark = pytest.mark.anyio
ALLOW = (PermissionOption("allow", "Allow", "allow_once"),)


async def wait_for_text(terminal: Terminal, text: str, count: int = 1) -> None:
    await asyncio.to_thread(terminal.wait_for, text, count)


async def leave(terminal: Terminal, word: str = "exit 0") -> None:
    terminal.type(f"{word}\n")
    assert await asyncio.to_thread(terminal.wait_for_end) == 0


async def test_a_conversation_keeps_one_session_and_ctrl_c_stops_an_answer_only(
    aish: Shell, home: Path
) -> None:
    endless = [Text("endless"), asyncio.Event(), Done()]
    async with served(home, endless, [Text("the second"), Done()], seconds=60) as hub:
        with at_terminal(aish, "-i", "apollo") as terminal:
            await wait_for_text(terminal, "apollo> ")
            terminal.type("one\n")
            await wait_for_text(terminal, "endless")
            terminal.type("\x03")
            await wait_for_text(terminal, "apollo> ", 2)
            terminal.type("two\n")
            await wait_for_text(terminal, "the second\n")
            await leave(terminal, "exit")
        assert hub.driver.heard == [("apollo", "one"), ("apollo", "two")]
        sessions = (await hub.ask("GET", "/api/v2/sessions")).json["sessions"]
        assert [session["context_window"] for session in sessions] == [10]
        log = await hub.log(sessions[0]["id"])
        ends = [event.reason for event in log if isinstance(event, TurnInterrupted)]
        assert ends == ["interrupted by me"]


LINES = (
    "apollo hi",
    "apollo hi --no-stream",
    "apollo hi --usage",
    "team-chat hi --quiet",
    "apollo hi | athena",
    "apollo hi | tr a-z A-Z",
    "@code-analysis << hi",
    "nosuch hi",
    "apollo --session-id s_none hi",
    "team:nobody hi",
)


HEADINGS = {"apollo hi | athena": "[From Athena]\n"}  # at the prompt, the last answer of a pipeline has one


@pytest.mark.long
async def test_a_line_prints_the_same_at_the_prompt_and_with_dash_c_but_for_the_last_heading(
    aish: Shell, home: Path
) -> None:
    async with served(home, seconds=120):
        with at_terminal(aish) as prompt:
            await wait_for_text(prompt, "aish> ")
            for line in LINES:
                with at_terminal(aish, "-c", line) as terminal:
                    await asyncio.to_thread(terminal.wait_for_end)
                    expected = terminal.screen
                before = prompt.screen.removesuffix("aish> ")
                prompt.type(f"{line}\n")
                await wait_for_text(prompt, "aish> ", prompt.screen.count("aish> ") + 1)
                shown = prompt.screen.removeprefix(before)
                wanted = f"aish> {expected}{HEADINGS.get(line, '')}aish> "
                assert (line, timeless(shown)) == (line, timeless(wanted))
            await leave(prompt)


def timeless(screen: str) -> list[str]:
    """Remove seconds and random marks, and sort the lines, because answers have no fixed order."""
    return sorted(re.sub(r"[0-9.]+ s$|--- [0-9a-f]{16} ---", "", line) for line in screen.splitlines())


@pytest.mark.long
async def test_failures_and_permission_requests_print_the_same_at_the_prompt(aish: Shell, home: Path) -> None:
    def scripts() -> list[list[Any]]:
        return [[Text("so"), ProviderFailed("it is down")]]

    async with served(home, *scripts(), *scripts(), seconds=60):
        with at_terminal(aish, "apollo", "hi") as terminal:
            await asyncio.to_thread(terminal.wait_for_end)
            expected = terminal.screen
        with at_terminal(aish) as terminal:
            await wait_for_text(terminal, "aish> ")
            terminal.type("apollo hi\n")
            await wait_for_text(terminal, "aish> ", 2)
            assert terminal.screen.partition("\n")[2] == f"aish> {expected}aish> "  # after the greeting
            await leave(terminal)


@pytest.mark.long
async def test_the_raw_events_are_those_of_the_rest_stream(aish: Shell, home: Path) -> None:
    async with served(home, seconds=60):
        with at_terminal(aish) as terminal:
            await wait_for_text(terminal, "aish> ")
            for line in ("apollo hi --json", "team-chat hi --json"):
                elsewhere = events((await asyncio.to_thread(aish, "-c", line)).out)
                before = terminal.screen
                terminal.type(f"{line}\n")
                await wait_for_text(terminal, "aish> ", before.count("aish> ") + 1)
                here = events(terminal.screen.removeprefix(before).removesuffix("aish> "))
                assert (line, here) == (line, elsewhere)
            await leave(terminal)


def events(lines: str) -> list[tuple[str, list[str]]]:
    """Return event types with their member names; sorted for several steps, which run at once."""
    found = [json.loads(line) for line in lines.splitlines()]
    assert [event["prev"] for event in found[1:]] == [event["seq"] for event in found[:-1]]
    return sorted((event["type"], list(event)) for event in found)


@pytest.mark.long
async def test_a_permission_request_of_a_line_is_shown_with_it(aish: Shell, home: Path) -> None:
    asks = [Permission("r_1", "Bash", {"command": "ls"}, ALLOW), Text("never"), asyncio.Event(), Done()]
    async with served(home, asks, seconds=60):
        with at_terminal(aish) as terminal:
            await wait_for_text(terminal, "aish> ")
            terminal.type("apollo hi\n")
            await wait_for_text(terminal, "  ls\a\n")
            await wait_for_text(terminal, "[d] details\n")
            terminal.type("\x03")
            await wait_for_text(terminal, "aish> ", 2)
            await leave(terminal)


@pytest.mark.long
async def test_a_line_times_out(aish: Shell, home: Path) -> None:
    async with served(home, [Text("so"), asyncio.Event(), Done()], seconds=60) as hub:
        with at_terminal(aish) as terminal:
            await wait_for_text(terminal, "aish> ")
            terminal.type("apollo --timeout 2 hi\n")
            await wait_for_text(terminal, "aish: timed out waiting for an answer\naish> ")
            await leave(terminal)
        assert hub.driver.heard == [("apollo", "hi")]


@pytest.mark.long
async def test_team_chat_sends_the_message_to_all_specialists(aish: Shell, home: Path) -> None:
    async with served(home, seconds=60) as hub:
        ran = await asyncio.to_thread(lambda: aish("team-chat", "hi", given="all"))
        names = sorted(peer.name for peer in PEERS)
        said = [f"{name.capitalize()}]\n{name} heard: hi\n\nall\n" for name in names]
        assert (ran.code, sorted(f"\n{ran.out}".split("\n[From ")), ran.err) == (0, ["", *said], "")
        assert sorted(hub.driver.heard) == [(name, "hi\n\nall") for name in names]


@pytest.mark.long
async def test_an_invalid_response_of_the_hub_is_reported_once_and_the_prompt_works(
    aish: Shell, hub: ScriptedHub
) -> None:
    strange = {"name": "apollo"}  # without an id
    hub.on("GET /api/v2/ai", answer({"peers": [strange]}))
    said = "aish: names are not completed at this prompt: "
    with at_terminal(aish, echo=True, term="xterm-256color") as terminal:
        await wait_for_text(terminal, "aish>")
        for _ in range(60):  # the names may not have arrived with the first Tab
            if said not in terminal.screen:
                terminal.type("ap\t\x03")
                await asyncio.to_thread(terminal.read_for, 0.3)
        for _ in range(2):
            terminal.type("/bin/echo ho\t\r")
        await wait_for_text(terminal, "ho\n", 2)
        terminal.type("exit 3\r")
        assert await asyncio.to_thread(terminal.wait_for_end) == 3
        assert (terminal.screen.count(said), "Traceback" in terminal.screen) == (1, False)
