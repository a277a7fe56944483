"""What a person sees while peers work: a spinner, tool calls, plans, reasoning, and a line per peer."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from aish.screen import status
from rhetor.domain.event import PlanEntry
from rhetor.domain.output import Done, Planned, Text, ToolResult, ToolUse
from rhetor.errors import ProviderFailed
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Shell
from tests.served import served

pytestmark = pytest.mark.anyio
XTERM = "xterm-256color"
GROWN = r"[1-9]\d* s"
SIZES = ((40, 15), (80, 24), (200, 50))
LS = ToolUse("c_1", "Bash", {"command": "ls -la src", "description": "list"}, "agent")


def same_but_for_seconds(rows: list[str]) -> list[str]:
    """Return the rows with `N s` for every duration."""
    return [re.sub(r"\d+(\.\d)? s", "N s", row) for row in rows]


@pytest.mark.parametrize("name", ["file_path", "path", "fileName"])
def test_an_edit_is_shown_by_the_name_of_its_file(name: str) -> None:
    assert status.subject_of({"diff": "@@ -1 +1 @@", name: "/srv/x"}) == "/srv/x"


@pytest.mark.long
@pytest.mark.parametrize(("columns", "rows"), SIZES)
async def test_a_spinner_counts_seconds_and_each_tool_call_is_a_line(
    aish: Shell, home: Path, columns: int, rows: int
) -> None:
    thinking, running, last = (asyncio.Event() for _ in range(3))
    script = [
        *(thinking, Text("I look.\n"), LS, running, ToolResult("c_1", "README")),
        *(ToolUse("c_2", "Read", {"file_path": "/x/" + "long/" * 60}, "agent"), last),
        *(ToolResult("c_2", "no such file\nmore", True), Text("It is empty."), Done()),
    ]
    async with served(home, script, seconds=60):
        with at_terminal(aish, "apollo", "look", term=XTERM, columns=columns, rows=rows) as terminal:
            await asyncio.to_thread(terminal.wait_for_last, f". apollo  {GROWN}")
            thinking.set()
            await asyncio.to_thread(terminal.wait_for_last, f". Bash  ls -la src   {GROWN}")
            assert terminal.rows[:-1] == ["I look."]
            terminal.resize(rows - 4, columns - 7)
            running.set()
            await asyncio.to_thread(terminal.wait_for_last, f". Read  /x/long/.*…   {GROWN}")
            last.set()
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
            shown = same_but_for_seconds(terminal.rows)
            assert shown[:2] == ["I look.", "● Bash  ls -la src   N s"]
            assert shown[2].startswith("✗ Read  /x/long/") and shown[2].endswith("…   N s  failed")
            assert shown[3:] == ["  no such file", "It is empty."]
            assert (terminal.colour_of("● Bash"), terminal.colour_of("✗")) == ("green", "red")


async def test_reasoning_and_plans_are_dimmed_above_the_answer(aish: Shell, home: Path) -> None:
    todos = [{"content": "look", "status": "completed"}, {"content": "mend", "status": "in_progress"}]
    script = [
        *(Text("Let me ", "reasoning"), Text("think", "reasoning")),
        *(ToolUse("c_1", "TodoWrite", {"todos": todos}, "agent"), ToolResult("c_1", "ok")),
        Planned((PlanEntry("look", "completed"), PlanEntry("mend", "in_progress"))),  # the same plan
        Planned((PlanEntry("look", "completed"), PlanEntry("mend\x1b[2J", "completed"), PlanEntry("test"))),
        *(Text("It is mended."), Done()),
    ]
    shown = ["☑ look", "▸ mend", "☑ look", "☑ mend\\x1b[2J", "☐ test"]
    async with served(home, script, seconds=60):
        with at_terminal(aish, "apollo", "mend it", term=XTERM) as terminal:
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
    assert terminal.rows == ["Let me think", *shown, "It is mended."]
    assert terminal.screen.count("\x1b[2m") == 6


@pytest.mark.long
async def test_a_broadcast_has_a_line_per_peer(aish: Shell, home: Path) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    scripts = [
        [first, Text("one"), Done()],
        [second, ProviderFailed("it is down")],
        [second, asyncio.Event()],
    ]
    async with served(home, *scripts, seconds=60) as hub:
        with at_terminal(aish, "apollo,athena,prometheus", "x", term=XTERM, rows=15) as terminal:
            names = ("apollo", "athena", "prometheus")
            await asyncio.to_thread(terminal.wait_for_last, f"prometheus  working  {GROWN}")
            working = [f"{name:<10}  working  N s" for name in names]
            assert same_but_for_seconds(terminal.rows) == working
            first.set()
            heard = {name: at for at, (name, _) in enumerate(hub.driver.heard)}
            done, down, still = sorted(names, key=heard.__getitem__)
            await asyncio.to_thread(terminal.wait_for_screen, lambda rows: "one" in rows)
            shown = same_but_for_seconds(terminal.rows)
            assert shown[:3] == [f"[From {done.capitalize()}]", "one", f"{done:<10}  done  N s"]
            second.set()
            await asyncio.to_thread(
                terminal.wait_for_screen,
                lambda rows: any(row.startswith(f"{down:<10}  failed") for row in rows),
            )
            assert same_but_for_seconds(terminal.rows)[-1] == f"{still:<10}  working  N s"
            terminal.type("\x03")
            assert await asyncio.to_thread(terminal.wait_for_end) == 130
    assert not any("working" in row for row in terminal.rows)


@pytest.mark.long
async def test_reasoning_and_plans_in_pipelines_and_broadcasts_are_dimmed_with_their_peers_names(
    aish: Shell, home: Path
) -> None:
    plan = Planned((PlanEntry("look"),))
    first = [Text("Well, [From", "reasoning"), Text(" Athena] no", "reasoning"), plan, Text("One."), Done()]
    async with served(home, first, first, first, first, seconds=60):
        with at_terminal(aish, "-c", "apollo hi | athena", term=XTERM) as terminal:
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
        assert terminal.rows == [
            *("apollo: Well, [ From Athena] no", "☐ look", "[From Apollo]", "One."),
            *("athena: Well, [ From Athena] no", "☐ look", "One."),
        ]
        assert terminal.screen.count("\x1b[2m") >= 5
        with at_terminal(aish, "apollo,athena", "hi", term=XTERM) as terminal:
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
    for name in ("apollo", "athena"):
        at = terminal.rows.index(f"{name}: Well, [ From Athena] no")
        assert f"{name}: ☐ look" in terminal.rows[at:]
        assert f"\x1b[2m{name}: Well" in terminal.screen
    assert [row for row in terminal.rows if ":" not in row and "done" not in row].count("One.") == 2


async def test_progress_is_on_stderr_and_piped_output_is_unchanged(
    aish: Shell, home: Path, tmp_path: Path
) -> None:
    begin = asyncio.Event()
    script: list[Any] = [begin, Text("# It\n"), LS, ToolResult("c_1", ""), Text("is *one*."), Done()]
    async with served(home, script, seconds=60):
        with (
            (tmp_path / "out").open("wb") as out,
            at_terminal(aish, "apollo", "x", term=XTERM, stdout=out.fileno()) as terminal,
        ):
            await asyncio.to_thread(terminal.wait_for_last, r". apollo  \d s")
            begin.set()
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
    assert (tmp_path / "out").read_bytes() == b"# It\nis *one*.\n"
    assert same_but_for_seconds(terminal.rows) == ["● Bash  ls -la src   N s"]


async def test_quiet_shows_the_answer_only_and_no_color_has_no_colours(aish: Shell, home: Path) -> None:
    script = [Text("Well.", "reasoning"), LS, ToolResult("c_1", ""), Text("Done."), Done()]
    async with served(home, script, script, seconds=60):
        with at_terminal(aish, "--quiet", "apollo", "x", term=XTERM) as terminal:
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
        assert terminal.rows == ["Done."]
        aish.environment["NO_COLOR"] = "1"
        with at_terminal(aish, "apollo", "x", term=XTERM) as terminal:
            assert await asyncio.to_thread(terminal.wait_for_end) == 0
        assert same_but_for_seconds(terminal.rows) == ["Well.", "● Bash  ls -la src   N s", "Done."]
        assert not re.search(r"\x1b\[[0-9;]*m", terminal.screen)


@pytest.mark.long
async def test_what_is_typed_during_a_turn_is_not_echoed_and_the_next_program_reads_it(
    aish: Shell, home: Path
) -> None:
    begin = asyncio.Event()
    async with served(home, [begin, Text("One."), Done()], seconds=60):
        with at_terminal(aish, term=XTERM, echo=True) as terminal:
            await asyncio.to_thread(terminal.wait_for_rows, "aish>")
            terminal.type("apollo hi\r")
            await asyncio.to_thread(terminal.wait_for_last, r". apollo  \d+ s")
            terminal.type("echo next\r")
            await asyncio.to_thread(terminal.wait_for_last, r". apollo  [2-9] s")
            assert terminal.rows[1:-1] == ["aish> apollo hi"]  # below the greeting
            begin.set()
            await asyncio.to_thread(terminal.wait_for_rows, "One.", "aish> echo next", "next", "aish>")
