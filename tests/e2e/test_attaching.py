"""Programs in the user's terminal, through the real hub and the real hosts of programs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.aish.attachable import Window, window
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Ran, Shell
from tests.e2e.home import Machine
from tests.needs import needs

DETACHED = "Detached from box (aish tools attach box reattaches)\n"
# Reports the size of its window, echoes lines, and exits with the requested code.
PROGRAM = """
import os, signal, sys
size = lambda *_: print("size %d %d" % tuple(reversed(os.get_terminal_size())), flush=True)
signal.signal(signal.SIGWINCH, size)
size()
for line in sys.stdin:
    if line.startswith("end "):
        sys.exit(int(line.split()[1]))
    print("heard", line.strip(), flush=True)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that the tests share, and on which the first one starts the hub."""
    made = Machine(tmp_path_factory.mktemp("attaching") / "home")
    yield made
    made.leave()


@pytest.fixture
def aish(machine: Machine, tmp_path: Path) -> Iterator[Shell]:
    """The shell, in its own folder; programs that it started are ended."""
    shell = Shell(machine.folder, tmp_path)
    shell.environment = {**machine.environment, "RHETOR_MODELS__DEFAULT": "offline"}
    yield shell
    for line in shell("list", "type", "terminal").out.splitlines()[1:]:
        shell("tools", "terminate", line.split()[0])


def program(aish: Shell, *options: str) -> list[str]:
    return ["ci-terminal", "-n", "box", *options, "--", sys.executable, "-c", PROGRAM]


def detach(shown: Window) -> None:
    shown.press(b"\x1d")
    assert shown.wait_for_end() == 0
    assert shown.screen.endswith(DETACHED)
    assert not shown.is_raw()


def test_a_detached_program_continues_and_can_be_reattached(aish: Shell) -> None:
    with window(aish, *program(aish), rows=31, columns=91) as shown:
        shown.wait_for("size 30 91")
        shown.press(b"first\r")
        shown.wait_for("heard first")
        detach(shown)
    with window(aish, "tools", "attach", "box", rows=40, columns=100) as shown:
        shown.wait_for("heard first")  # the screen is redrawn
        shown.wait_for("size 39 100")
        shown.resize(20, 60)
        shown.wait_for("size 19 60")
        shown.press(b"end 7\r")
        assert shown.wait_for_end() == 1
        assert shown.screen.endswith("\nbox exited with code 7\n")
    assert aish("tools", "attach", "box").code == 1
    assert "ended     with exit code 7\n" in aish("explain", "box").out


def test_a_program_and_its_terminal_survive_a_killed_hub(aish: Shell, machine: Machine) -> None:
    with window(aish, *program(aish)) as shown:
        shown.wait_for("size 29 100")
        machine.kill_hub()
        shown.wait_until(lambda: not has_socket(shown.process.pid))  # the terminal has noticed the loss
        shown.press(b"typed meanwhile\r")
        assert aish("list", "type", "terminal").code == 0  # this starts the next hub
        shown.wait_for("heard typed meanwhile")
        detach(shown)


def has_socket(pid: int) -> bool:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(entry.readlink()).startswith("socket:"):
                return True
    return False


def test_two_windows_show_the_same_screen_at_the_smaller_size(aish: Shell) -> None:
    assert aish(*program(aish, "--detach")).out.startswith("✓ box is running (pid ")
    with (
        window(aish, "tools", "attach", "box", rows=40, columns=120) as large,
        window(aish, "tools", "attach", "box", "-r", rows=10, columns=50) as read_only,
    ):
        large.wait_for("size 39 120")
        read_only.wait_for("size 39 120")
        with window(aish, "tools", "attach", "box", rows=25, columns=90) as small:
            large.wait_for("size 24 90")
            small.press(b"from here\r")
            large.wait_for("heard from here")
            read_only.wait_for("heard from here")
            detach(small)
        large.wait_for("size 39 120", count=2)
        os.kill(large.process.pid, signal.SIGKILL)
        large.wait_until(lambda: not large.is_raw())
        read_only.press(b"not heard\r\x1d")
        assert read_only.wait_for_end() == 0
    assert "not heard" not in aish("explain", "box", "--screen").out


VIM = ("vim", "-u", "NONE", "-N", "-i", "NONE")
SIZES = ((24, 80), (15, 40), (50, 200))


@pytest.mark.long
def test_a_full_screen_program_and_the_status_line_share_a_terminal_of_any_size(aish: Shell) -> None:
    needs("vim")
    (aish.folder / "lines").write_text("".join(f"line {n}\n" for n in range(1, 200)))
    words = ("ci-terminal", "-n", "box", "--", *VIM, "lines")
    with at_terminal(aish, *words, term="xterm-256color", rows=24, columns=80) as shown:
        for rows, columns in SIZES:
            shown.resize(rows, columns)
            shown.wait_for_screen(lambda seen: is_fitted(seen, rows))  # noqa: B023
        shown.resize(24, 80)
        shown.wait_for_screen(lambda seen: is_fitted(seen, 24))
        shown.type(":split\r20j\x05\x05\x19ggdd")  # the windows of vim scroll in regions of their own
        shown.wait_for_screen(lambda seen: seen[0] == "line 2" and seen[-1] == STATUS)
        screen = aish("explain", "box", "--screen").out.split("\n\n", 1)[1].splitlines()
        assert [row for row in shown.rows[:-1] if row.strip()] == [row for row in screen if row.strip()]
        shown.type("\x1d")
        shown.wait_for_last(re.escape(DETACHED.strip()))
        assert shown.wait_for_end() == 0
        assert STATUS not in shown.rows


STATUS = " box  Ctrl-] detach"


def is_fitted(rows: list[str], count: int) -> bool:
    """Whether vim shows the first lines of the file on all rows but the last two."""
    lines = [f"line {n}" for n in range(1, count - 1)]
    return rows[: count - 2] == lines and rows[-1] == STATUS


def test_attaching_without_a_terminal_writes_the_screen_to_the_pipe(aish: Shell) -> None:
    aish(*program(aish, "--detach"))
    assert aish("wait", "box", "--timeout", "20").code == 0
    ran = aish("-c", "tools attach box | head -c 30")
    assert (ran.code, ran.err, len(ran.out)) == (0, "", 30)
    assert "size 24 80" in ran.out
    assert aish("tools", "attach", "nobody") == Ran(3, "", "Error: Unknown CI or command: nobody\n")
    assert aish("tools", "attach", "apollo").code == 1


def test_a_taken_name_or_a_missing_program_is_rejected(aish: Shell) -> None:
    aish(*program(aish, "--detach"))
    taken = aish(*program(aish, "--detach"))
    assert (taken.code, "box" in taken.err) == (1, True)
    missing = aish("ci-tool", "-n", "none", "--", "no-such-program-here")
    assert (missing.code, "no-such-program-here" in missing.err) == (1, True)


def test_a_wrapped_tool_answers_can_be_waited_for_and_ended(aish: Shell) -> None:
    echo = 'while read line; do echo "got $line"; done'
    ran = aish("ci-tool", "-n", "solver", "-d", "\\n", "--", "/bin/sh", "-c", echo)
    assert ran.out.startswith("✓ solver is running (pid ")
    assert aish("solver", "hello", "-x").out == "got hello\n"
    assert aish("wait", "solver", "--timeout", "20") == Ran(0, "solver\n", "")
    assert aish("explain", "solver").out.startswith("peer      solver, tool (stdio)\nstatus    idle since ")
    assert aish("tools", "terminate", "solver").out.startswith("✓ solver exited (")
    assert aish("explain", "solver").code == 3
