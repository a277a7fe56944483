"""Markdown that is rendered while it arrives."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rhetor.domain.output import Done, Text
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import Shell, says
from tests.scale import sampled, scaled
from tests.served import served, with_programs

pytestmark = pytest.mark.anyio
HEADINGS = {"[From Apollo]", "[From Athena]"}
XTERM = "xterm-256color"
TORTURE = Path(__file__).with_name("torture.py")
PAGE = Path(__file__).with_name("page.md").read_text()
UNCLOSED = "The end:\n\n~~~\nan unclosed fence\n  with *stars*\n"


def rendered(
    aish: Shell,
    path: Path,
    *arguments: float,
    columns: int = 80,
    rows: int = 24,
    resize: tuple[int, int] | None = None,
) -> Terminal:
    command = [sys.executable, str(TORTURE), str(path), *map(str, arguments)]
    with at_terminal(aish, command=command, term=XTERM, columns=columns, rows=rows) as terminal:
        if resize:
            terminal.wait_for("\x1b[")
            terminal.resize(*resize)
        assert terminal.wait_for_end() == 0
    return terminal


LONG = pytest.mark.long
SIZES = sampled(((80, 24), (40, 15), (200, 50)), 3)


@pytest.mark.parametrize(
    ("columns", "rows", "size"),
    [
        (40, 15, 97),
        *(pytest.param(*size, 1, marks=LONG) for size in sampled(((80, 24), (40, 15), (200, 50)), 3)),
    ],
)
def test_small_pieces_end_on_the_screen_as_when_rendered_at_once(
    aish: Shell, tmp_path: Path, columns: int, rows: int, size: int
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE + UNCLOSED)
    whole = rendered(aish, page, 1_000_000, columns=columns, rows=rows)
    pieces = rendered(aish, page, size, 0, columns=columns, rows=rows)
    assert pieces.all_rows == whole.all_rows
    shown = "\n".join(whole.all_rows)
    for text in ("A title", "かな", "🎉", "Vec<String>", "<summary>", "an unclosed fence"):
        assert shown.count(text) == 1
    assert [row for row in whole.all_rows if row.lstrip().startswith(("3.", "4."))] == [
        " 3. three",
        " 4. four",
    ]
    assert "**" not in shown.replace("with *stars*", "")
    assert set(re.findall(r"\x1b[^\[]|\x1b\[\??[0-9;]*([^0-9;m])", pieces.screen)) <= set("AJKhl")


@pytest.mark.long
@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_a_long_page_in_single_bytes_ends_as_when_rendered_at_once(
    aish: Shell, tmp_path: Path, columns: int, rows: int
) -> None:
    page = tmp_path / "page.md"
    code = "```c\n" + "int x = 1;  /* one */\n" * 300 + "```\n\n"
    table = "| a | b |\n|---|---|\n" + "".join(f"| {n} | {'x' * (n % 60)} |\n" for n in range(200)) + "\n"
    page.write_text((PAGE + code + table) * scaled(8, 1) + PAGE * scaled(62, 1) + UNCLOSED)
    assert page.stat().st_size > scaled(200_000, 10_000)
    whole = rendered(aish, page, 1_000_000, columns=columns, rows=rows)
    pieces = rendered(aish, page, 1, columns=columns, rows=rows)
    assert pieces.all_rows == whole.all_rows


@pytest.mark.long
@pytest.mark.parametrize(("columns", "rows"), [(40, 15), (80, 24), (200, 50)])
def test_a_resize_in_the_middle_redraws_the_open_block_at_the_new_width(
    aish: Shell, tmp_path: Path, columns: int, rows: int
) -> None:
    page = tmp_path / "page.md"
    page.write_text("word " * 80 + "\n\nThe end.\n")
    smaller = (rows - 4, columns - 9)
    whole = rendered(aish, page, 1_000_000, columns=smaller[1], rows=smaller[0])
    pieces = rendered(aish, page, 5, 0.02, columns=columns, rows=rows, resize=smaller)
    assert pieces.all_rows == whole.all_rows


def run_at_terminal(aish: Shell, *words: str) -> Terminal:
    with at_terminal(aish, *words, term=XTERM) as terminal:
        assert terminal.wait_for_end() == 0
    return terminal


@pytest.mark.long
async def test_answers_are_rendered_on_a_terminal_only_and_not_with_raw(aish: Shell, home: Path) -> None:
    script = [Text("# Ti"), Text("tle\n- *one*\n- `two`"), Done()]
    async with served(home, *[script] * 4, seconds=60):
        terminal = await asyncio.to_thread(run_at_terminal, aish, "apollo", "x")
        assert terminal.rows == ["Title", " • one", " • two"]
        assert terminal.colour_of("two") == "cyan"
        terminal = await asyncio.to_thread(run_at_terminal, aish, "apollo", "x", "--raw")
        assert terminal.rows == ["# Title", "- *one*", "- `two`"]
        assert (await asyncio.to_thread(aish, "apollo", "x")).out == "# Title\n- *one*\n- `two`\n"
        aish.environment["NO_COLOR"] = "1"
        terminal = await asyncio.to_thread(run_at_terminal, aish, "apollo", "x")
        assert terminal.rows == ["Title", " • one", " • two"]
        assert not re.search(r"\x1b\[[0-9;]*m", terminal.screen)


@pytest.mark.long
async def test_answers_of_a_broadcast_and_of_a_pipeline_are_rendered_under_their_headings(
    aish: Shell, home: Path
) -> None:
    wraps = "x " * 36  # so that the next line begins after `[From`
    script = [Text("It is **one**, says &#91;From Athena] nobody.\n\n" + wraps + "[From Athena]"), Done()]
    said = ["It is one, says [ From Athena] nobody.", wraps + "[ From", "Athena]"]
    async with served(home, *[script] * 7, seconds=60):
        terminal = await asyncio.to_thread(run_at_terminal, aish, "apollo,athena", "x")
        assert sorted(terminal.rows) == sorted([*said, *said, "[From Apollo]", "[From Athena]"])
        assert terminal.colour_of("[From Apollo]") != terminal.colour_of("[From Athena]")
        terminal = await asyncio.to_thread(run_at_terminal, aish, "-c", "athena x | apollo")
        assert terminal.rows[-3:] == said
        line = "echo x | {apollo|athena} | prometheus"
        terminal = await asyncio.to_thread(run_at_terminal, aish, "-c", line)
        assert terminal.rows[0] in HEADINGS and set(terminal.rows) >= HEADINGS


@pytest.mark.long
async def test_what_a_wrapped_program_prints_is_not_rendered(aish: Shell) -> None:
    async with with_programs(seconds=60) as hub:
        await hub.announce("lister", "/bin/sh", "-c", "while read line; do echo '* a'; echo '# b'; done")
        aish.environment["RHETOR_HOME"] = str(hub.socket.parent)
        terminal = await asyncio.to_thread(run_at_terminal, aish, "lister", "x", "-x")
    assert terminal.rows[:2] == ["* a", "# b"]


def test_rich_is_not_imported_without_a_terminal(aish: Shell, hub: Any) -> None:
    hub.on("POST /api/v2/ai/apollo/stream", says("# hi"))
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aish", "apollo", "x"],
        env=aish.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "aish.turns.message" in imported
    assert not imported & {"rich", "markdown_it", "pygments", "aish.screen.display", "threading", "termios"}
