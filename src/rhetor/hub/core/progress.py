"""The progress of one long request, for a client that shows it.

The transport begins a `Progress` before it executes the command; whatever does the work writes it, in any
task or thread that the command starts. Without one, nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """How many of the work's units (`files`) are done, and how many there are, if that is known. The latter
    may be an estimate."""

    unit: str = ""
    done: int = 0
    total: int | None = None


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


def begin() -> Progress:
    """Return the progress of what this task and those that it starts do from now on."""
    progress = Progress()
    _current.set(progress)
    return progress


def counter(unit: str) -> Callable[[int, int | None], None] | None:
    """Return a function that notes how many are done, and how many there are; None if nobody asks."""
    progress = _current.get()
    if progress is None:
        return None
    progress.unit = unit

    def note(done: int, total: int | None) -> None:
        progress.done, progress.total = done, total

    return note
