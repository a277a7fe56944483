"""Shows messages that are forwarded to a terminal in which a program runs.

Each one covers a line for a few seconds, and all of them are printed at the end.

The shell's bytes must not be mixed with those of the program. They are written when the program has been
silent for a moment, and they restore the cursor. After a few seconds, the caller redraws the screen.
"""

from aish.headings import quoted_on_terminal
from aish.render import cleaned, heading
from aish.screen.cells import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SILENCE_SECONDS = 0.05
SHOWN_SECONDS = 5.0
MAX_KEPT = 1000
_SAVE, _RESTORE = "\x1b7\x1b[?6l", "\x1b8"  # the origin mode is saved and restored with the cursor


class Overlay:
    """The line that covers the screen, and when to draw and remove it. Times are those of `monotonic`."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.cursor: str | None = None
        self._line = ""
        self._draw_at: float | None = None
        self._clear_at: float | None = None

    @property
    def due(self) -> float | None:
        """The time at which to draw or remove the line next, or None."""
        times = [at for at in (self._draw_at, self._clear_at) if at is not None]
        return min(times, default=None)

    def add(self, notice: "dict[str, Any]", now: float) -> None:
        """Show a notice of the hub as soon as the program is silent."""
        self.cursor = notice.get("cursor")
        title, text = str(notice.get("title", "")), str(notice.get("text", ""))
        whole = cleaned(f"{heading(title)} {quoted_on_terminal(text)}")
        self.notices = [*self.notices, whole][-MAX_KEPT:]
        self._line = " ".join(whole.split())
        self._draw_at = now + SILENCE_SECONDS

    def program_wrote(self, now: float) -> None:
        """Restart the wait for the program to be silent."""
        if self._draw_at is not None:
            self._draw_at = now + SILENCE_SECONDS

    def draw(self, now: float, rows: int, columns: int) -> bytes:
        """Return the bytes that draw the line; empty if it need not be drawn now."""
        if self._draw_at is None or now < self._draw_at:
            return b""
        self._draw_at, self._clear_at = None, now + SHOWN_SECONDS
        line = cut(self._line, columns - 1)
        return f"{_SAVE}\x1b[{rows};1H\x1b[0;7m{line}\x1b[0m\x1b[K{_RESTORE}".encode("utf-8", "replace")

    def is_over(self, now: float) -> bool:
        """Return whether the caller must redraw the screen without the line: True once per line."""
        is_over = self._clear_at is not None and now >= self._clear_at and self._draw_at is None
        if is_over:
            self._clear_at = None
        return is_over
