"""vim, htop and a Python REPL in two terminals at once, through the real shell: both show the same screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from tests.aish.attachable import Window, window
from tests.aish.scripted import Shell
from tests.e2e.home import Machine
from tests.needs import needs

from rhetor.drivers.programs.terminal.screen import Screen

ROWS, COLUMNS, SECONDS = 24, 80, 15.0
# command, text on its first screen, keys to press, text on the screen after them
PROGRAMS = {
    "vim": (["vim", "-n", "-u", "NONE", "-N"], "VIM", b"ihello from here\x1b", "hello from here"),
    "htop": (["htop"], "Load average", b"?", "htop"),
    "python3": (["python3", "-q"], ">>>", b"print(6 * 7 * 1001)\r", "42042"),
}


@pytest.fixture
def aish(machine: Machine, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(machine.folder, tmp_path)
    shell.environment = {**machine.environment, "RHETOR_MODELS__DEFAULT": "offline"}
    yield shell
    shell("tools", "terminate", "box")


class WindowScreen:
    """The screen of a window."""

    def __init__(self, shown: Window) -> None:
        self.window = shown
        self._screen = Screen(ROWS, COLUMNS)
        self._fed = 0

    def text(self) -> list[str]:
        data, self._fed = self.window.shown[self._fed :], len(self.window.shown)
        self._screen.feed(data)
        return self._screen.text()

    def has(self, text: str) -> bool:
        return any(text in line for line in self.text())


def wait_for(windows: list[WindowScreen], text: str) -> None:
    for seen in windows:
        seen.window.wait_until(partial(seen.has, text))


def same_screen(windows: list[WindowScreen]) -> None:
    """Wait until both show the same; a program that redraws every second may be between two frames."""
    ends = monotonic() + SECONDS
    first, second = windows
    while True:
        for seen in windows:
            seen.window.wait_until(lambda: True)
            while seen.window._read(monotonic() + 0.02):
                pass
        one, other = first.text(), second.text()
        if one == other:
            return
        assert monotonic() < ends, [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]


@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS)
def test_two_terminals_show_the_same_screen_of_a_program(aish: Shell, name: str) -> None:
    argv, begins, keys, shows = PROGRAMS[name]
    needs(argv[0])
    with ExitStack() as stack:
        first = stack.enter_context(
            window(aish, "ci-terminal", "-n", "box", "--", *argv, rows=ROWS, columns=COLUMNS)
        )
        wait_for([one := WindowScreen(first)], begins)
        second = stack.enter_context(window(aish, "tools", "attach", "box", rows=ROWS, columns=COLUMNS))
        both = [one, WindowScreen(second)]
        wait_for(both, begins)
        same_screen(both)
        second.press(keys)
        wait_for(both, shows)
        same_screen(both)
        first.press(b"\x1d")
        assert first.wait_for_end() == 0
        assert not first.is_raw()
