"""Permission requests at the prompt, also answered from elsewhere, with a real hub and terminal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission
from rhetor.domain.quota import reset_time
from rhetor.errors import RateLimited
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import Shell
from tests.served import Served, served

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("allow", "Allow", "allow_once"), PermissionOption("deny", "Deny", "reject_once"))
ASKS = "⏸ apollo asks: Bash(ls -l) — aish approve 3f2a9c"
ANSWERED = "✓ apollo: Bash(ls -l) was answered elsewhere: Allow"
XTERM = "xterm-256color"
BOTTOM = re.compile(r"\d+ (turns?|unread|permissions?)( · .*)?")


def permission_script(id: str = "3f2a9c01", command: str = "ls -l") -> list[Any]:
    return [Permission(id, "Bash", {"command": command}, OPTIONS), asyncio.Event(), Done()]


@asynccontextmanager
async def at_prompt(
    aish: Shell, home: Path, *scripts: Any, words: tuple[str, ...] = (), term: str = XTERM
) -> AsyncIterator[tuple[Served, Terminal]]:
    async with served(home, *scripts, seconds=60) as hub:
        with at_terminal(aish, *words, term=term, echo=True) as terminal:
            await wait_for_rows_of(terminal, "apollo>" if words else "aish>")
            yield hub, terminal


async def wait_for_rows_of(terminal: Terminal, *rows: str) -> None:
    """Wait until these are the last rows of the screen, above the bottom line if there is one."""

    def are_there(shown: list[str]) -> bool:
        return without_frame(shown)[-len(rows) :] == [*rows]

    await asyncio.to_thread(terminal.wait_for_screen, are_there)


def without_frame(rows: list[str]) -> list[str]:
    """Return the rows without the bottom line, and without the greeting."""
    rows = rows[1:] if rows and rows[0].startswith("aish ") else rows
    return rows[:-1] if rows and BOTTOM.fullmatch(rows[-1]) else rows


async def ask(hub: Served) -> str:
    """Start a turn that waits for a permission; return its session."""
    session = str((await hub.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"])
    path, prefer = f"/api/v2/sessions/{session}/message", {"Prefer": "respond-async"}
    assert (await hub.ask("POST", path, {"message": "go"}, headers=prefer)).status == 202
    return session


async def answer(hub: Served, session: str, id: str = "3f2a9c01") -> None:
    path = f"/api/v2/sessions/{session}/permissions/{id}"
    assert (await hub.ask("POST", path, {"option_id": "allow"})).status == 200


async def test_a_permission_request_rings_once_above_the_input_line(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script()) as (hub, terminal):
        terminal.type("echo half")
        await wait_for_rows_of(terminal, "aish> echo half")
        session = await ask(hub)
        await wait_for_rows_of(terminal, ASKS, "aish> echo half")
        assert without_frame(terminal.rows) == [ASKS, "aish> echo half"]
        assert terminal.bells == 1
        await answer(hub, session)
        await wait_for_rows_of(terminal, ANSWERED, "aish> echo half")
        terminal.type(" done\r")
        await wait_for_rows_of(terminal, "half done", "aish>")
        shown = without_frame(terminal.rows)
        assert shown == [ASKS, ANSWERED, "aish> echo half done", "half done", "aish>"]
        assert terminal.bells == 1


@pytest.mark.long
async def test_a_wrapped_input_line_and_its_cursor_survive_a_notice(aish: Shell, home: Path) -> None:
    long = "echo " + "x" * 100 + "y"
    async with at_prompt(aish, home, permission_script()) as (hub, terminal):
        terminal.type(long + "\x1b[D")  # the cursor moves before the y
        typed = "aish> " + long
        await wait_for_rows_of(terminal, typed[:80], typed[80:])
        await ask(hub)
        await wait_for_rows_of(terminal, ASKS, typed[:80], typed[80:])
        terminal.type("z\r")
        said = "x" * 100 + "zy"
        await wait_for_rows_of(terminal, said[:80], said[80:], "aish>")


@pytest.mark.long
async def test_a_request_answered_here_is_not_reported_as_answered_elsewhere(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script(), permission_script("77aa", "rm")) as (hub, terminal):
        session = await ask(hub)
        await wait_for_rows_of(terminal, ASKS, "aish>")
        terminal.type("approve 3f2a\r")
        await wait_for_rows_of(terminal, "✓ apollo: Allow (Bash)", "aish>")
        await ask(hub)
        await wait_for_rows_of(terminal, "⏸ apollo asks: Bash(rm) — aish approve 77aa", "aish>")
        assert "elsewhere" not in terminal.screen
        assert "permission.answered" in [event.type for event in await hub.log(session)]


@pytest.mark.long
async def test_a_notice_during_a_line_waits_for_the_prompt(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script(), permission_script("77aa", "rm")) as (hub, terminal):
        terminal.type("/bin/sh -c 'echo ready; cat'\r")
        await wait_for_rows_of(terminal, "ready")
        terminal.type("through cat\n")
        await wait_for_rows_of(terminal, "through cat", "through cat")
        await ask(hub)
        await ask(hub)
        terminal.type("more\n")
        await wait_for_rows_of(terminal, "more", "more")
        assert terminal.bells == 0
        terminal.type("\x04")
        await wait_for_rows_of(terminal, ASKS, "⏸ apollo asks: Bash(rm) — aish approve 77aa", "aish>")


@pytest.mark.long
async def test_a_conversation_shows_requests_and_their_withdrawal(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script(), words=("-i", "apollo")) as (hub, terminal):
        session = await ask(hub)
        await wait_for_rows_of(terminal, ASKS, "apollo>")
        await hub.ask("POST", f"/api/v2/sessions/{session}/interrupt")
        await wait_for_rows_of(terminal, "✗ apollo: Bash(ls -l) was withdrawn", "apollo>")
        terminal.type("exit\r")
        assert await asyncio.to_thread(terminal.wait_for_end) == 0


@pytest.mark.long
async def test_a_request_cannot_write_escape_sequences_to_the_terminal(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script(command="ls\x1b]0;title\x07\x1b[2J\n-l")) as (
        hub,
        terminal,
    ):
        await ask(hub)
        await wait_for_rows_of(terminal, ASKS.replace("ls -l", r"ls\x1b]0;title\x07\x1b[2J\n-l"), "aish>")
        assert (terminal.bells, terminal.screen.count("\x1b]0")) == (1, 0)


@pytest.mark.long
async def test_a_dumb_terminal_shows_notices_below_and_the_input_again(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script(), term="dumb") as (hub, terminal):
        terminal.type("echo half")
        await asyncio.to_thread(terminal.wait_for, "echo half")
        await ask(hub)
        await asyncio.to_thread(terminal.wait_for, f"{ASKS}\naish> echo half")
        terminal.type(" done\n")
        await asyncio.to_thread(terminal.wait_for, "\nhalf done\n")
        assert terminal.bells == 1


@pytest.mark.long
async def test_the_prompt_works_without_a_hub_and_finds_one_that_starts_later(
    aish: Shell, home: Path
) -> None:
    with at_terminal(aish, term=XTERM, echo=True) as terminal:
        await wait_for_rows_of(terminal, "aish>")
        terminal.type("/bin/echo alone\r")
        await wait_for_rows_of(terminal, "alone", "aish>")
        async with served(home, permission_script(), seconds=60) as hub:
            await ask(hub)
            await wait_for_rows_of(terminal, ASKS, "aish>")
        terminal.type("\x04")
        assert await asyncio.to_thread(terminal.wait_for_end) == 0


async def test_the_prompt_edits_recalls_and_completes(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home) as (_, terminal):
        terminal.type("hi\x01echo \r")  # Ctrl-A
        await wait_for_rows_of(terminal, "hi", "aish>")
        terminal.type("\x1b[A\x7f\x7foh\r")  # up, two backspaces
        await wait_for_rows_of(terminal, "oh", "aish>")
        terminal.type("statu\t")
        await wait_for_rows_of(terminal, "aish> status")
        terminal.type("\x15\x1b[200~apollo one\napollo two\x1b[201~\r")  # pasted
        await wait_for_rows_of(terminal, "apollo heard: one", "apollo heard: two", "aish>")


@pytest.mark.long
async def test_the_next_shell_recalls_lines_that_did_not_begin_with_a_space(aish: Shell, home: Path) -> None:
    async with served(home, seconds=60):
        with at_terminal(aish, term=XTERM, echo=True) as terminal:
            await wait_for_rows_of(terminal, "aish>")
            terminal.type("echo kept\r")
            await wait_for_rows_of(terminal, "kept", "aish>")
            terminal.type(" echo secret\r")
            await wait_for_rows_of(terminal, "secret", "aish>")
            terminal.type("\x04")
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
        assert (home / "history").stat().st_mode & 0o777 == 0o600
        with at_terminal(aish, term=XTERM, echo=True) as terminal:
            await wait_for_rows_of(terminal, "aish>")
            terminal.type("\x1b[A")
            await wait_for_rows_of(terminal, "aish> echo kept")


@pytest.mark.long
async def test_pasted_lines_are_one_message_in_a_conversation(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, words=("-i", "apollo")) as (hub, terminal):
        terminal.type("\x1b[200~one\n\ntwo\x1b[201~\r")
        await wait_for_rows_of(terminal, "two", "apollo>")
        assert [text for _, text in hub.driver.heard] == ["one\n\ntwo"]


@pytest.mark.long
async def test_a_short_id_is_unique_among_the_pending_requests(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home, permission_script("req_00aabbcc1122")) as (hub, terminal):
        session = await ask(hub)
        await wait_for_rows_of(terminal, "⏸ apollo asks: Bash(ls -l) — aish approve req_00aabb", "aish>")
        await answer(hub, session, "req_00aabbcc1122")


@pytest.mark.long
async def test_ctrl_c_clears_the_line_and_ctrl_d_ends_the_prompt(aish: Shell, home: Path) -> None:
    async with at_prompt(aish, home) as (_, terminal):
        terminal.type("echo half")
        await wait_for_rows_of(terminal, "aish> echo half")
        terminal.type("\x03")
        await wait_for_rows_of(terminal, "aish>")
        terminal.type("echo 'whole\r")
        await wait_for_rows_of(terminal, ">")
        terminal.type("more'\r")
        await wait_for_rows_of(terminal, "more", "aish>")
        assert "half" not in terminal.rows
        terminal.type("\x04")
        assert await asyncio.to_thread(terminal.wait_for_end) == 0


@pytest.mark.long
async def test_a_paused_turn_is_reported_with_its_reason_and_its_outcome(aish: Shell, home: Path) -> None:
    limit = RateLimited("no more today", retryable=True, resets_at=reset_time(time() + 3600))
    async with at_prompt(aish, home, [limit], [Done()]) as (hub, terminal):
        session = await ask(hub)
        await asyncio.to_thread(terminal.wait_for, "⏸ apollo is paused until ")
        await asyncio.to_thread(terminal.wait_for, "no more today — aish approve q_")
        [request] = (await hub.ask("GET", "/api/v2/permissions")).json["permissions"]
        path = f"/api/v2/sessions/{session}/permissions/{request['request_id']}"
        assert (await hub.ask("POST", path, {"option_id": "now"})).status == 200
        over = "✓ the pause of apollo was answered elsewhere: Try again now"
        await asyncio.to_thread(terminal.wait_for, over)
