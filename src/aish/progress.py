"""Shows the progress of long work on stderr: how much is done, how fast, and how long it will still take.

Nothing is shown if stderr is not a terminal, or in the first two seconds. The line is erased at the end.
"""

import os
from time import monotonic

from aish import exits
from aish.exits import Failure
from aish.output import STDERR, write
from rhetor.domain.progress import QUIET_SECONDS, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from aish.client.hub import Hub

_SHOWN_SECONDS = 0.2  # a line stays so long at least
_ERASE = b"\r\x1b[K"
_EVENTS = "text/event-stream"


class Progress:
    """The line for one piece of work, called `what`. The end of the `with` erases it. `clock`: seconds."""

    def __init__(self, what: str, clock: "Callable[[], float]" = monotonic) -> None:
        self._what = what
        self._clock = clock
        self._begun = clock()
        self._shown_at: float | None = None
        self.is_shown = os.isatty(STDERR)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown_at is not None:
            write(STDERR, _ERASE)

    def show(self, done: int, total: "int | None", unit: str) -> None:
        """Show that so many of `total` (None: unknown) are done. `unit`: what they are, in the plural."""
        now = self._clock()
        last = self._begun + QUIET_SECONDS if self._shown_at is None else self._shown_at + _SHOWN_SECONDS
        if self.is_shown and now >= last:
            self._shown_at = now
            line = describe(self._what, now - self._begun, done, total, unit)
            write(STDERR, _ERASE + line[: _columns() - 1].encode(errors="replace"))


def _columns() -> int:
    try:
        return os.get_terminal_size(STDERR).columns or 80
    except OSError:
        return 80


def ask_with_progress(hub: "Hub", what: str, path: str, body: "Any" = None) -> "Any":
    """Post a request whose work may take long, as `Hub.ask` does, and show its progress.

    Raises:
        Failure: as for `Hub.ask`.
    """
    line = Progress(what)
    if not line.is_shown:
        return hub.ask("POST", path, body)
    from aish.client.hub import problem_failure
    from aish.turns.message import decode_event

    with line:
        response = hub.open("POST", path, body, accept=_EVENTS)
        try:
            for data in response.events():
                frame = decode_event(data)
                if "result" in frame:
                    return frame["result"]
                if "problem" in frame:
                    raise problem_failure(frame["problem"], int(frame["problem"]["status"]))
                line.show(**frame["progress"])
        finally:
            response.close()
    raise Failure("the connection to the hub closed before its answer was complete", exits.UNREACHABLE)
