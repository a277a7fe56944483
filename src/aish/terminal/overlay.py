"""What is forwarded to a terminal in which a program runs: a line for a few seconds, all of it at the end.

Bytes of the program and ours must not be mixed: ours are given when it has been silent for a moment, put the
cursor back, and the screen is drawn anew when their time is over. How that is done it refuses to know.
"""

from unicodedata import east_asian_width

from aish.render import cleaned, heading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SILENCE_SECONDS = 0.05
SHOWN_SECONDS = 5.0
MOST_KEPT = 1000
_SAVE, _RESTORE = "\x1b7\x1b[?6l", "\x1b8"  # the origin mode is saved and restored with the cursor


class Overlay:
    """Times are seconds of `monotonic`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.cursor: str | None = None
        self._line = ""
        self._draw_at: float | None = None
        self._clear_at: float | None = None

    @property
    def due(self) -> float | None:
        """When there is something to do, if nothing comes before."""
        times = [at for at in (self._draw_at, self._clear_at) if at is not None]
        return min(times, default=None)

    def take(self, notice: "dict[str, Any]", now: float) -> None:
        """A notice of the hub."""
        self.cursor = notice.get("cursor")
        title, text = str(notice.get("title", "")), str(notice.get("text", ""))
        whole = cleaned(f"{heading(title)} {text}")
        self.told = [*self.told, whole][-MOST_KEPT:]
        self._line = " ".join(whole.split())
        self._draw_at = now + SILENCE_SECONDS

    def disturbed(self, now: float) -> None:
        """The program writes."""
        if self._draw_at is not None:
            self._draw_at = now + SILENCE_SECONDS

    def drawn(self, now: float, rows: int, columns: int) -> bytes:
        """What shows the line, if it is time for it."""
        if self._draw_at is None or now < self._draw_at:
            return b""
        self._draw_at, self._clear_at = None, now + SHOWN_SECONDS
        line = _cut(self._line, columns - 1)
        return f"{_SAVE}\x1b[{rows};1H\x1b[0;7m{line}\x1b[0m\x1b[K{_RESTORE}".encode("utf-8", "replace")

    def is_over(self, now: float) -> bool:
        """Whether the screen is to be drawn anew, without the line; told once."""
        over = self._clear_at is not None and now >= self._clear_at and self._draw_at is None
        if over:
            self._clear_at = None
        return over


def _cut(line: str, columns: int) -> str:
    """As much of the line as is so many columns wide."""
    width = 0
    for at, char in enumerate(line):
        width += 2 if east_asian_width(char) in "WF" else 1
        if width > columns:
            return line[:at]
    return line
