"""Runs a program that answers one message and ends, in a new process for each turn. Is a program itself.

`python -I -S run_per_turn.py PROGRAM ARGUMENT…` reads lines: `{"turn": 1, "arguments": […]}` runs the program
with these arguments after its own, and `{"stop": true}` ends it. The program writes directly to this
process's stdout. A line `{"type": "process.exited", "turn", "code", "signal", "said"}` follows its end;
`said` is the last part of its stderr. One process of the program runs at a time. This module does not read
the program's output, and imports only the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

GRACE_SECONDS = 5.0  # between TERM and KILL, and for a process to end by itself before the next turn
LAST_WORDS_SECONDS = 1.0  # for stderr after the end: descendants may keep it open
KEPT_STDERR = 2000


class Turn:
    """One process of the program, in its own process group. `over` is a thread that ends after it."""

    def __init__(self, number: int, argv: Sequence[str]) -> None:
        """Start the process.

        Raises:
            OSError: the program cannot be run.
            ValueError: an argument contains NUL.
        """
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0
        )
        self._number = number
        self._said = b""
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()
        self.over = threading.Thread(target=self._wait)
        self.over.start()

    def stop(self) -> None:
        """Send SIGTERM to the process group, then SIGKILL if needed, and wait until the process has ended."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                os.killpg(self._process.pid, how)
            self.over.join(GRACE_SECONDS)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        while piece := os.read(self._process.stderr.fileno(), 65536):
            self._said = (self._said + piece)[-KEPT_STDERR:]
            os.write(2, piece)

    def _wait(self) -> None:
        code = self._process.wait()
        self._listening.join(LAST_WORDS_SECONDS)
        said = self._said.decode(errors="replace")
        tell(self._number, code if code >= 0 else None, -code if code < 0 else None, said)


def tell(number: int, code: int | None, how: int | None, said: str) -> None:
    """Write how a process ended, on a line of its own, even if the output before ends without a newline."""
    end = {"type": "process.exited", "turn": number, "code": code, "signal": how, "said": said}
    os.write(1, f"\n{json.dumps(end)}\n".encode())


def main(argv: Sequence[str]) -> None:
    """Handle the lines on stdin until it ends."""
    turn: Turn | None = None
    for line in sys.stdin.buffer:
        order: dict[str, Any] = json.loads(line)
        if turn is not None:
            if "arguments" in order:
                turn.over.join(GRACE_SECONDS)
            turn.stop()
        if "arguments" in order:
            turn = _begun(order["turn"], (*argv, *order["arguments"]))
    if turn is not None:
        turn.stop()


def _begun(number: int, argv: Sequence[str]) -> Turn | None:
    try:
        return Turn(number, argv)
    except (OSError, ValueError) as error:  # a message is too long for an argument, or has a NUL
        tell(number, None, None, f"{argv[0]} cannot be run: {error}")
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
