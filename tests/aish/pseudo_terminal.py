"""A shell at a real terminal, for tests that type into it and read its output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
from collections.abc import Callable, Iterator
from time import monotonic

import pyte

from tests.aish.scripted import TIMEOUT, Shell


class Terminal:
    """The other side of a pseudo-terminal. `screen` is all output so far, with LF as line ends."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._process = process
        self._shown = b""
        self._drawn = pyte.Screen(80, 24)
        self._drawing = pyte.ByteStream(self._drawn)
        self._undrawn = b""

    @property
    def bells(self) -> int:
        return self._shown.count(b"\x07")

    @property
    def rows(self) -> list[str]:
        """The rows on a screen of 80 columns and 24 rows, without empty ones."""
        self._drawing.feed(self._undrawn)
        self._undrawn = b""
        return [row.rstrip() for row in self._drawn.display if row.strip()]

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
    aish: Shell, *words: str, echo: bool = False, term: str = "dumb", columns: int = 80
) -> Iterator[Terminal]:
    """Run `aish` with a terminal as stdin, stdout and stderr, which turns Ctrl-C into a signal. `echo`: typed
    text is shown; `term`: the value of TERM; `columns`: the width of the terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    attributes = termios.tcgetattr(theirs)
    if not echo:
        attributes[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    process = subprocess.Popen(
        aish.command(*words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=aish.folder,
        env={**aish.environment, "TERM": term},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
