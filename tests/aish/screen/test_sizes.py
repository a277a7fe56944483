"""Whole turns, broadcasts and conversations on terminals of three sizes that are resized in the middle."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from rhetor.domain.output import Done, Text, ToolResult, ToolUse
from rhetor.errors import ProviderFailed
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.screen.test_asking import XTERM, Answers, asks, press
from tests.aish.screen.test_asking import answers as answers
from tests.aish.screen.test_progress_lines import GROWN, SIZES, same_but_for_seconds
from tests.aish.scripted import Shell
from tests.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.long, pytest.mark.parametrize(("columns", "rows"), SIZES)]
TABLE = "| peer | does |\n|---|---|\n| apollo | analyses |\n\n"
WORDS = "It wraps at the width of the screen and nothing of it is printed twice. "


def one_line(rows: list[str]) -> str:
    return " ".join(" ".join(rows).split())


async def wait_for_last(terminal: Terminal, pattern: str) -> None:
    await asyncio.to_thread(terminal.wait_for_last, pattern)


async def test_markdown_tool_calls_and_a_request_share_the_screen(
    aish: Shell, home: Path, answers: Answers, columns: int, rows: int
) -> None:
    shown, ends = asyncio.Event(), asyncio.Event()
    ls = ToolUse("c_1", "Bash", {"command": "ls -l"}, "agent")
    request = asks()
    script = [
        *(Text("# Title\n\n" + TABLE), Text("It is **bo"), shown, Text("ld**.\n\n" + WORDS * 2)),
        *(
            ls,
            *answers.to(request)[:2],
            ToolResult("c_1", "a\nb"),
            Text("\n\n- one\n- t"),
            ends,
            Text("wo\n"),
        ),
        Done(),
    ]
    async with served(home, script, seconds=60):
        with at_terminal(aish, "apollo", "go", term=XTERM, echo=True, columns=columns, rows=rows) as terminal:
            await asyncio.to_thread(terminal.wait_for_screen, lambda seen: "It is" in one_line(seen))
            terminal.resize(rows - 2, columns - 5)
            shown.set()
            await wait_for_last(terminal, r".*\[n\] deny  \[d\] details")
            terminal.resize(rows, columns - 3)
            await press(terminal, "y")
            assert await answers.next() == ("r_1", "once")
            await asyncio.to_thread(terminal.wait_for_screen, lambda seen: any(" • t" in row for row in seen))
            terminal.resize(rows - 1, columns)
            ends.set()
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
    everything = terminal.all_rows
    said = one_line(same_but_for_seconds(everything))
    assert said.count("Title") == said.count("analyses") == said.count("It is bold.") == 1
    assert said.count(WORDS.strip()) == 2
    assert said.count("✓ apollo: allow once") == said.count("● Bash ls -l N s") == 1
    assert said.endswith("• one • two")
    assert "[y]" not in said and not re.search(r"apollo  \d+ s", "\n".join(everything))


async def test_the_lines_of_a_broadcast_stay_below_its_answers(
    aish: Shell, home: Path, columns: int, rows: int
) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    scripts = [
        [first, Text(WORDS * 3), Done()],
        [second, ProviderFailed("it is down")],
        [second, Text("ok"), Done()],
    ]
    peers = "apollo,athena,prometheus"
    async with served(home, *scripts, seconds=60):
        with at_terminal(aish, peers, "x", term=XTERM, columns=columns, rows=rows) as terminal:
            await wait_for_last(terminal, f"prometheus  working  {GROWN}")
            assert len(terminal.rows) == 3
            terminal.resize(rows - 3, columns - 6)
            first.set()
            await asyncio.to_thread(terminal.wait_for_screen, lambda seen: any("done" in row for row in seen))
            assert sum("working" in row for row in terminal.rows) == 2
            assert all(re.fullmatch(r"\w+ +(working|done)  .*", row) for row in terminal.rows[-3:])
            terminal.resize(rows, columns)
            second.set()
            assert await asyncio.to_thread(terminal.wait_for_end) == 1
    everything = terminal.all_rows
    said = one_line(everything)
    assert said.count("It wraps at the width") == 3 and said.count("[From ") == 2
    assert said.count("failed: it is down") == 1
    assert not any(re.match(r"\w+ +(working|done|failed) ", row) for row in everything)


async def test_a_conversation_continues_on_a_resized_screen(
    aish: Shell, home: Path, columns: int, rows: int
) -> None:
    ends = asyncio.Event()
    scripts = [[Text(WORDS), ends, Text(WORDS), Done()], [Text("The end."), Done()]]
    async with served(home, *scripts, seconds=60) as hub:
        words = ("-i", "apollo")
        with at_terminal(aish, *words, term=XTERM, echo=True, columns=columns, rows=rows) as terminal:
            await wait_for_last(terminal, "apollo>")
            terminal.type("hello")
            await wait_for_last(terminal, "apollo> hello")
            terminal.resize(rows - 4, columns - 8)
            terminal.type(" you\r")
            await asyncio.to_thread(terminal.wait_for_screen, lambda seen: "nothing of it" in one_line(seen))
            terminal.resize(rows, columns)
            ends.set()
            await wait_for_last(terminal, "apollo>")
            terminal.type("/help\r")
            await asyncio.to_thread(terminal.wait_for_screen, lambda seen: any("//" in row for row in seen))
            await wait_for_last(terminal, "apollo>")
            assert "/save [-f] FILE saves the conversation" in one_line(terminal.all_rows)
            terminal.type("and?\r")
            await asyncio.to_thread(terminal.wait_for_rows, "The end.", "apollo>")
            terminal.type("/exit\r")
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
        assert [text for _, text in hub.driver.heard] == ["hello you", "and?"]
    said = one_line(terminal.all_rows)
    assert said.startswith("Connected to apollo.")
    assert said.count("It wraps at the width of the screen") == 2
    assert said.count("apollo> hello you") == said.count("The end.") == said.count("apollo> and?") == 1
