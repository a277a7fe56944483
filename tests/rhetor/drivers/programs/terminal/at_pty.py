"""A real program in a pseudo-terminal, for tests that type into it and read its output."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import cast

from rhetor.drivers.programs.host.values import Reader
from rhetor.drivers.programs.terminal.message_input import Echo
from rhetor.drivers.programs.terminal.screen import Screen
from rhetor.drivers.programs.terminal.turn import TerminalTurn
from rhetor.host.reader import input_of, reader

TIMEOUT = 60.0


class Program:
    """`env`: the complete environment of the program, except TERM and PATH."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, *, rows: int = 24, cols: int = 80
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self._process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={"TERM": "xterm-256color", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(env or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._is_input = input_of(theirs)
        os.close(theirs)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT)
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read(self, screen: Screen, until: float) -> bytes | None:
        """Return output that arrives before that time, and feed it to the screen. None: there was none;
        empty: the program has ended."""
        if not select.select([self._ours], [], [], max(until - monotonic(), 0))[0]:
            return None
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other side was closed
            return b""
        screen.feed(data)
        os.write(self._ours, screen.take_replies())
        return data

    def _reader(self) -> Reader | None:
        told = reader(os.tcgetpgrp(self._ours), self._is_input).decode()
        return cast(Reader, told) if told else None

    def read_until(self, seen: Callable[[], bool], screen: Screen) -> bytes:
        deadline = monotonic() + TIMEOUT
        read = b""
        while not seen():
            data = self.read(screen, deadline)
            assert data, f"the text did not appear; the screen has {screen.text()}"
            read += data
        return read

    def say(self, text: str, screen: Screen, *, marks: bool, prompt: str | None) -> tuple[str, TerminalTurn]:
        """Type, wait for the echo, Enter, and follow the turn to its end."""
        echo = Echo(text, screen.cols)
        self.type(text)
        deadline = monotonic() + TIMEOUT
        while not echo.seen:
            data = self.read(screen, deadline)
            assert data, f"{text!r} was not echoed; the screen has {screen.text()}"
            echo.feed(data)
        turn = TerminalTurn(text.encode(), marks, prompt=prompt, screen=screen)
        turn.started(monotonic())
        self.type("\r")
        said = ""
        while turn.ended is None:
            data = self.read(screen, deadline if turn.due is None else turn.due)
            now = monotonic()
            assert now < deadline + TIMEOUT, f"no end; said {said!r}, the screen has {screen.text()}"
            said += (
                turn.tick(now, self._reader())
                if data is None
                else turn.received(data, now)
                if data
                else turn.exited(0, None, now)
            )
        return said, turn


def line_at_cursor(screen: Screen) -> str:
    """Return the text before the cursor."""
    at = screen.cursor
    return screen.text()[at.row][: at.col].ljust(at.col)
