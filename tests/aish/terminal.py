"""A shell at a real terminal, as a test types into it and reads it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator
from time import monotonic

from tests.aish.scripted import TIMEOUT, Shell


class Terminal:
    """The other side of a pseudo-terminal. `screen` is all that was shown, line ends as LF."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._process = process
        self._shown = b""

    @property
    def screen(self) -> str:
        return self._shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str, count: int = 1) -> None:
        """Until the screen has shown `text` that many times."""
        deadline = monotonic() + TIMEOUT
        while self.screen.count(text) < count:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} ({count}) did not come; the screen has {self.screen!r}")

    def interrupt(self, prompt: str) -> None:
        """Ctrl-C, until the prompt comes anew. A line editor that was just about to wait for a key does not
        notice the first one; a person presses again."""
        shown = self.screen.count(prompt)
        deadline = monotonic() + TIMEOUT
        while self.screen.count(prompt) == shown:
            self.type("\x03")
            again = monotonic() + 1.0
            while self.screen.count(prompt) == shown and self._read(again):
                pass
            assert monotonic() < deadline, f"Ctrl-C did nothing; the screen has {self.screen!r}"

    def wait_for_end(self) -> int:
        """Until the shell has ended; its exit code."""
        deadline = monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self._process.wait(TIMEOUT)

    def _read(self, deadline: float) -> bool:
        if not select.select([self._descriptor], [], [], max(deadline - monotonic(), 0))[0]:
            return False
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:  # nobody has the other side open any more
            return False
        self._shown += piece
        return bool(piece)


@contextlib.contextmanager
def at_terminal(aish: Shell, *words: str, echo: bool = False) -> Iterator[Terminal]:
    """`aish` with a terminal as stdin, stdout and stderr, which also sends it Ctrl-C. `echo`: what is typed
    is shown, as it is for a person."""
    ours, theirs = pty.openpty()
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
        env={**aish.environment, "TERM": "dumb"},
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
