"""A shell at a real terminal, for tests that type into it and read its output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import pyte

from tests.aish.scripted import TIMEOUT, Shell


class Screen(pyte.HistoryScreen):
    """A screen that is resized as xterm does it: the cursor stays in its line, the lines above it scroll away
    if they no longer fit, and lines that are too long are cut."""

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines = lines or self.lines
        gone = max(self.cursor.y + 1 - lines, 0)
        if lines < self.lines:
            self.history.top.extend(self.buffer[y] for y in range(gone))
            row = self.cursor.y - gone
            kept = {y: self.buffer[y + gone] for y in range(lines) if y + gone in self.buffer}
            self.buffer.clear()
            self.buffer.update(kept)
            self.lines, self.cursor.y = lines, row
        super().resize(lines, columns)

    @property
    def past(self) -> list[str]:
        """The rows that have scrolled away, the oldest first."""
        return ["".join(row[x].data for x in range(self.columns)).rstrip() for row in self.history.top]


class Terminal:
    """The other side of a pseudo-terminal. `screen` is all output so far, with LF as line ends."""

    def __init__(
        self, descriptor: int, process: subprocess.Popen[bytes], size: tuple[int, int] = (80, 24)
    ) -> None:
        self._descriptor = descriptor
        self._process = process
        self._shown = b""
        self._drawn = Screen(*size, history=100_000)
        self._drawing = pyte.ByteStream(self._drawn)
        self._undrawn = b""

    @property
    def bells(self) -> int:
        return self._shown.count(b"\x07")

    @property
    def rows(self) -> list[str]:
        """The rows on the screen, without empty ones."""
        self._draw()
        return [row.rstrip() for row in self._drawn.display if row.strip()]

    @property
    def all_rows(self) -> list[str]:
        """All rows that were shown and not erased, without empty ones: those that have scrolled away, and
        those on the screen."""
        self._draw()
        return [row for row in self._drawn.past if row.strip()] + self.rows

    def colour_of(self, text: str) -> str:
        """Return the colour of the first cell of a text on the screen."""
        for y, row in enumerate(self._drawn.display):
            if text in row:
                return str(self._drawn.buffer[y][row.index(text)].fg)
        raise AssertionError(f"{text!r} is not in {self.rows}")

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size, as a window manager does."""
        self._draw()
        self._drawn.resize(rows, columns)
        termios.tcsetwinsize(self._descriptor, (rows, columns))

    def wait_for_row(self, row: str) -> None:
        """Wait until this row is on the screen, maybe between others."""
        self._wait(lambda: row in self.rows, repr(row))

    def wait_for_screen(self, is_there: Callable[[list[str]], bool]) -> None:
        """Wait until the rows are as wanted."""
        self._wait(lambda: is_there(self.rows), "what was awaited")

    def wait_for_last(self, pattern: str) -> None:
        """Wait until the last row that is not empty matches the whole pattern."""
        self._wait(lambda: bool(self.rows and re.fullmatch(pattern, self.rows[-1])), pattern)

    def read_for(self, seconds: float) -> None:
        """Read what comes in so many seconds."""
        deadline = monotonic() + seconds
        while self._read(deadline):
            pass

    def _draw(self) -> None:
        self._drawing.feed(self._undrawn)
        self._undrawn = b""

    def wait_for_rows(self, *rows: str) -> None:
        """Wait until these are the last rows of the screen."""
        self._wait(lambda: self.rows[-len(rows) :] == [*rows], repr(rows))

    @property
    def screen(self) -> str:
        return self._shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until the screen has shown `text` that many times."""
        self._wait(lambda: self.screen.count(text) >= count, f"{text!r} ({count})")

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        deadline = monotonic() + TIMEOUT
        while not is_there():
            if not self._read(deadline):
                raise AssertionError(f"{what} did not come; the screen has {self.screen!r}")

    def interrupt(self, prompt: str) -> None:
        """Press Ctrl-C until there is a new prompt. A line editor that is about to wait for a key can miss
        it; a person would press it again."""
        shown = self.screen.count(prompt)
        deadline = monotonic() + TIMEOUT
        while self.screen.count(prompt) == shown:
            self.type("\x03")
            again = monotonic() + 1.0
            while self.screen.count(prompt) == shown and self._read(again):
                pass
            assert monotonic() < deadline, f"Ctrl-C did nothing; the screen has {self.screen!r}"

    def wait_for_end(self) -> int:
        """Wait until the shell has ended; return its exit code."""
        deadline = monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self._process.wait(TIMEOUT)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._descriptor], [], [], max(deadline - monotonic(), 0))[0]:
            return False
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:  # the other side was closed
            return False
        self._shown += piece
        self._undrawn += piece
        return bool(piece)


@contextlib.contextmanager
def at_terminal(
    aish: Shell,
    *words: str,
    echo: bool = False,
    term: str = "dumb",
    columns: int = 80,
    rows: int = 24,
    stdout: int | None = None,
    command: Sequence[str] = (),
) -> Iterator[Terminal]:
    """Run `aish` with a terminal as stdin, stdout and stderr, which turns Ctrl-C into a signal. `echo`: typed
    text is shown; `term`: the value of TERM; `columns`, `rows`: the size of the terminal; `stdout`: where the
    output goes instead; `command`: what runs instead of `aish`."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (rows, columns))
    attributes = termios.tcgetattr(theirs)
    if not echo:
        attributes[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    process = subprocess.Popen(
        command or aish.command(*words),
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        cwd=aish.folder,
        env={**aish.environment, "TERM": term},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process, (columns, rows))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
