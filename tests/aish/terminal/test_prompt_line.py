"""The input line of the prompt, with its menu, its keys, its bottom line and notices above it, at a real
terminal of several sizes, with a real hub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import Shell
from tests.served import Served, served

pytestmark = [pytest.mark.anyio, pytest.mark.long]
XTERM = "xterm-256color"
SIZES = [(40, 15), (80, 24), (200, 50)]
GREETING = r"aish \S+ · Tab completes · type help"
ALLOW = PermissionOption("allow", "Allow", "allow_once")


def asking(id: str) -> list[object]:
    """Return the script of a turn that asks, and goes on until it is interrupted."""
    return [Permission(id, "Bash", {"command": "ls"}, (ALLOW,)), asyncio.Event(), Done()]


async def wait_for_screen(terminal: Terminal, is_there: Callable[[list[str]], bool]) -> None:
    await asyncio.to_thread(terminal.wait_for_screen, is_there)


async def wait_for_rows(terminal: Terminal, *rows: str) -> None:
    """Wait until these are the last rows of the screen."""
    await asyncio.to_thread(terminal.wait_for_rows, *rows)


async def start(hub: Served) -> str:
    """Send a message from elsewhere; return its session."""
    session = str((await hub.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"])
    path, prefer = f"/api/v2/sessions/{session}/message", {"Prefer": "respond-async"}
    assert (await hub.ask("POST", path, {"message": "go"}, headers=prefer)).status == 202
    return session


async def leave(terminal: Terminal) -> None:
    terminal.type("\x03")
    await wait_for_screen(terminal, lambda rows: rows[-1] == "aish>" or rows[-2:-1] == ["aish>"])
    terminal.type("exit\r")
    assert await asyncio.to_thread(terminal.wait_for_end) == 0


@pytest.mark.parametrize(("columns", "rows"), SIZES)
async def test_notices_the_menu_and_the_bottom_line_do_not_disturb_each_other(
    aish: Shell, home: Path, columns: int, rows: int
) -> None:
    """While text is typed, while the menu is open, and while the window is resized."""
    aish.environment["PATH"] = str(aish.folder)  # no programs in the menu
    async with served(home, asking("aa11"), asking("bb22"), seconds=120) as hub:
        with at_terminal(aish, term=XTERM, echo=True, columns=columns, rows=rows) as terminal:
            await wait_for_rows(terminal, "aish>")
            assert re.fullmatch(GREETING, terminal.rows[0])
            terminal.type("ap")
            session = await start(hub)
            asks = "⏸ apollo asks: Bash(ls) — aish approve a"
            await wait_for_rows(terminal, "aish> ap", "1 turn · 1 permission")
            assert "".join(terminal.rows[1:-2]).startswith(asks[:columns])
            assert terminal.bells == 1

            terminal.type("\t")
            menu = ["approve", "apollo"]
            await wait_for_screen(terminal, lambda shown: [row.split()[0] for row in shown[-3:-1]] == menu)
            assert terminal.rows[-4] == "aish> ap"
            assert terminal.rows[-1] == "1 turn · 1 permission"
            await start(hub)
            await wait_for_screen(terminal, lambda shown: shown[-1] == "2 turns · 2 permissions")
            assert [row.split()[0] for row in terminal.rows[-3:-1]] == menu
            assert terminal.bells == 2
            terminal.resize(rows - 3, columns - 5)
            terminal.type("\x1b[B")
            await wait_for_screen(terminal, lambda shown: shown[-4:-3] == ["aish> approve"])
            assert terminal.rows[-1] == "2 turns · 2 permissions"
            terminal.type("\r")  # takes the word, and runs nothing
            await wait_for_rows(terminal, "aish> approve", "2 turns · 2 permissions")

            terminal.type("--")
            await hub.ask("POST", f"/api/v2/sessions/{session}/interrupt")
            await wait_for_rows(terminal, "aish> approve --", "1 turn · 1 permission")
            assert "was withdrawn" in "".join(terminal.rows[-6:])
            terminal.resize(rows, columns)
            terminal.type("json")
            await wait_for_rows(terminal, "aish> approve --json", "1 turn · 1 permission")
            await leave(terminal)


async def test_the_bottom_line_follows_the_inbox_and_the_turns_of_this_prompt_and_of_a_restarted_hub(
    aish: Shell, home: Path
) -> None:
    slow = asyncio.Event()
    async with AsyncExitStack() as hubs:
        hub = await hubs.enter_async_context(served(home, [slow, Done()], seconds=120))
        with at_terminal(aish, "--name", "jill", term=XTERM, echo=True, columns=40, rows=15) as terminal:
            await wait_for_rows(terminal, "aish>")
            assert "· jill ·" in "".join(terminal.rows[:2])
            await hub.ask("POST", "/api/v2/inbox/jill/new", {"text": "one"})
            await hub.ask("POST", "/api/v2/inbox/jill/keep", {"text": "kept"})
            await wait_for_rows(terminal, "aish>", "1 unread")
            terminal.type("inbox get\r")
            await wait_for_rows(terminal, "one", "aish>")
            await start(hub)
            await wait_for_rows(terminal, "aish>", "1 turn")
            slow.set()
            await wait_for_rows(terminal, "aish>")
            terminal.type("apollo hello\r")
            await wait_for_rows(terminal, "apollo heard: hello", "aish>")
            await asyncio.to_thread(terminal.read_for, 0.6)
            assert "1 turn" not in terminal.screen.rpartition("hello")[2]  # its own turn is over
            terminal.type("echo ha")
            await hub.ask("POST", "/api/v2/inbox/jill/prompt", {"text": "two"})
            await wait_for_rows(terminal, "aish> echo ha", "1 unread")
            await hubs.aclose()
            await wait_for_rows(terminal, "aish> echo ha")
            hub = await hubs.enter_async_context(served(home, [asyncio.Event()], seconds=120))
            await start(hub)
            await wait_for_rows(terminal, "aish> echo ha", "1 turn")
            terminal.type("lf\r")
            await wait_for_rows(terminal, "half", "aish>", "1 turn")
            await hub.ask("POST", "/api/v2/sessions", {"specialist_id": "athena", "name": "work"})
            for _ in range(100):  # the name arrives in the background
                terminal.type("\x03sessions show w\t")
                await asyncio.to_thread(terminal.read_for, 0.3)
                if "aish> sessions show work" in terminal.rows:
                    break
            terminal.type("--js\t")
            await wait_for_rows(terminal, "aish> sessions show work --json", "1 turn")
            await leave(terminal)


async def test_the_keys_of_the_prompt(aish: Shell, home: Path) -> None:
    """History search, new lines, the editor, pasted lines, and the pager of help."""
    editor = aish.folder / "editor"
    editor.write_text('#!/bin/sh\nprintf "\\n/bin/echo edited" >>"$1"\n')
    editor.chmod(0o700)
    aish.environment |= {"VISUAL": str(editor), "PAGER": "less -R"}
    async with served(home, seconds=120):
        with at_terminal(aish, term=XTERM, echo=True) as terminal:
            await wait_for_rows(terminal, "aish>")
            for line in ("/bin/echo first", "/bin/echo second", "/usr/bin/true"):
                terminal.type(f"{line}\r")
                await wait_for_rows(terminal, f"aish> {line}", *line.split()[1:], "aish>")
            terminal.type("/bin\x1b[A\x1b[A")  # up, among the lines that begin so
            await wait_for_rows(terminal, "aish> /bin/echo first")
            terminal.type("\x03\x12seco")
            await wait_for_rows(terminal, "(reverse-i-search)`seco': /bin/echo second")
            terminal.type("\r")
            await wait_for_rows(terminal, "second", "aish>")
            terminal.type("/bin/echo one\x1b\r/bin/echo two")
            await wait_for_rows(terminal, "aish> /bin/echo one", "    > /bin/echo two")
            terminal.type("\r")
            await wait_for_rows(terminal, "one", "two", "aish>")
            terminal.type("/bin/echo three\r")
            await wait_for_rows(terminal, "three", "aish>")
            for escape, rows in (("\x1b\r", ["aish> ap", "    >"]), ("\x1b", ["aish> ap"])):
                terminal.type("ap\t")
                await wait_for_screen(
                    terminal, lambda shown: any(row.split()[0] == "apollo" for row in shown)
                )
                terminal.type(escape)  # Alt-Enter, then Esc alone, while the menu is open
                await wait_for_rows(terminal, *rows)
                terminal.type("\x03")
                await wait_for_rows(terminal, *rows, "aish>")
            terminal.type("/bin/echo typed\x18\x05")
            await wait_for_rows(terminal, "typed", "edited", "aish>")
            terminal.type("\x1b[200~/bin/echo a\n/bin/sleep 60\n/bin/echo never\x1b[201~\r")
            await wait_for_rows(terminal, "a")
            terminal.interrupt("aish>")
            terminal.type("\x1b[200~/bin/echo b\n/bin/echo c\n\x1b[201~\r")
            await wait_for_rows(terminal, "b", "c", "aish>")
            assert "never" not in [row for row in terminal.all_rows if not row.startswith(("aish>", "    >"))]
            terminal.type("help\r")
            await wait_for_screen(terminal, lambda rows: rows[-1] == ":" and len(rows) > 20)
            terminal.type("q")
            await wait_for_rows(terminal, "aish>")
            terminal.type("help exit-codes\r")
            last = "terminal program ended only by silence, 124 timed out, 130 interrupted"
            await wait_for_rows(terminal, last, "aish>")
            await leave(terminal)
