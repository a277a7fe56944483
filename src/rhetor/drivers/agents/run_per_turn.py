"""A process for each turn, of a program that answers one message and ends: run as a program itself.

`python -I -S run_per_turn.py PROGRAM ARGUMENT…` reads lines: `{"turn": 1, "arguments": […]}` runs the program
with these behind its own, `{"stop": true}` ends it. It writes to this one's stdout itself; after its end
comes a line `{"type": "process.exited", "turn", "code", "signal", "said"}`, with the last that it wrote to
stderr. One runs at a time. What the program says is not known here; only the standard library is.
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

GRACE_SECONDS = 5.0  # between TERM and KILL, and for one that is done to end by itself
LAST_WORDS_SECONDS = 1.0  # for stderr after the end: what it has started may hold it open
KEPT_STDERR = 2000


class Turn:
    """One process of the program, in a group of its own; its end is told by `over`."""

    def __init__(self, number: int, argv: Sequence[str]) -> None:
        """
        Raises:
            OSError: it cannot be run.
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
        """End it and what it has started; returns when it has ended."""
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
    """On a line of its own, whatever was written before."""
    end = {"type": "process.exited", "turn": number, "code": code, "signal": how, "said": said}
    os.write(1, f"\n{json.dumps(end)}\n".encode())


def main(argv: Sequence[str]) -> None:
    """Until stdin ends."""
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
