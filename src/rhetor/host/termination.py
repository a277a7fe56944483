"""Ends a program with all its descendants: SIGTERM, a grace period, SIGKILL.

In a terminal, SIGHUP is sent after SIGTERM, because interactive shells ignore SIGTERM but exit on SIGHUP.

Descendants that left the group or the session are found too, because this process adopts orphans.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from . import system
from .event_loop import Call, Loop

_LOOK_SECONDS = 0.02


class Termination:
    """Ends all descendants of this process, then calls each `done` once. `reap` collects those that died."""

    def __init__(self, loop: Loop, reap: Callable[[], None], *, hangs_up: bool) -> None:
        self.under_way = False
        self._loop = loop
        self._reap = reap
        self._signals = (signal.SIGTERM, signal.SIGHUP) if hangs_up else (signal.SIGTERM,)
        self._done: list[Call] = []
        self._kill_at = 0.0
        self._told: set[int] = set()

    def begin(self, grace: float, done: Call) -> None:
        """End all descendants, with SIGKILL after `grace` seconds. If this is under way already, the earlier
        SIGKILL counts."""
        self._done.append(done)
        kill_at = time.monotonic() + grace
        if self.under_way:
            self._kill_at = min(self._kill_at, kill_at)
            return
        self.under_way = True
        self._kill_at = kill_at
        self._look()

    def _look(self) -> None:
        self._reap()
        alive = system.descendants(os.getpid())
        if not alive:
            self._finish()
            return
        killing = time.monotonic() >= self._kill_at
        for pid in alive:
            if killing:
                _send(pid, signal.SIGKILL)
            elif pid not in self._told:
                self._told.add(pid)
                for number in self._signals:
                    _send(pid, number)
                _send(pid, signal.SIGCONT)  # a stopped process handles no other signal
        self._loop.after(_LOOK_SECONDS, self._look)

    def _finish(self) -> None:
        self._reap()  # the last process may have died since
        self.under_way = False
        self._told.clear()
        done, self._done = self._done, []
        for call in done:
            call()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
