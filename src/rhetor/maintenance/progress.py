"""Shows the progress of a command on stderr, if stderr is a terminal and the command takes over 2 s."""

from __future__ import annotations

import shutil
import sys
from time import monotonic
from types import TracebackType
from typing import Self

from rhetor.domain.progress import QUIET_SECONDS, describe

SHOWN_SECONDS = 0.2  # a line stays so long at least
MEGABYTE = 1_000_000
_ERASE = "\r\x1b[K"


class Progress:
    """The line for one piece of work, called `what`. `unit`: what is counted, in the plural; so many of them
    are one of the `done` units."""

    def __init__(self, what: str, unit: str, size: int = 1, *, shown: bool = True) -> None:
        self._what = what
        self._unit = unit
        self._size = size
        self._begun = monotonic()
        self._next = self._begun + QUIET_SECONDS
        self._is_terminal = shown and sys.stderr.isatty()
        self._is_shown = False
        self._done = 0
        self.total: int | None = None

    @classmethod
    def of_bytes(cls, what: str) -> Self:
        return cls(what, "MB", MEGABYTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_shown:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()

    def add(self, done: int) -> None:
        """Count so many more as done."""
        self._done += done
        now = monotonic()
        if self._is_terminal and now >= self._next:
            self._next = now + SHOWN_SECONDS
            self._show(now - self._begun)

    def _show(self, seconds: float) -> None:
        total = None if self.total is None else self.total // self._size
        line = describe(self._what, seconds, self._done // self._size, total, self._unit)
        sys.stderr.write(_ERASE + line[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()
        self._is_shown = True
