"""Notices that arrive while the user types or a line runs. They are held until a prompt shows them.

The number of held notices is bounded: above `MAX_HELD`, the oldest are dropped, and the user sees how many.
This module does not know where notices come from, or how a prompt is drawn.
"""

from collections import deque
from threading import Condition

from aish.render import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HELD = 200
_BELL = "\x07"


class Notices:
    """A queue that any thread may add to. One prompt at a time takes the notices from it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._held: deque[tuple[str, str]] = deque()
        self._count = self._taken = 0
        self._dropped = 0
        self._rings = False
        self._wake: Callable[[], None] | None = None

    def show(self, text: str) -> None:
        """Add a notice, and wait until a prompt has taken it."""
        number = self.add(text)
        with self._changed:
            self._changed.wait_for(lambda: self._taken >= number)

    def add(self, text: str, *, key: str = "", rings: bool = False) -> int:
        """Add a notice, which is shown above the prompt, now or when there is one. This does not wait.

        Escape sequences other than colours are removed. `rings` sounds the terminal's bell once; `key` is for
        `withdraw`. Return the number of notices so far, including this one.
        """
        safe = _safe(text)
        with self._changed:
            self._count += 1
            self._held.append((key, safe))
            self._rings = self._rings or rings
            if len(self._held) > MAX_HELD:
                self._held.popleft()
                self._dropped += 1
            if self._wake is not None:
                self._wake()
            return self._count

    def withdraw(self, key: str) -> bool:
        """Remove the notice with this key; return False if there is none, or if it was shown already."""
        with self._changed:
            kept = [line for line in self._held if line[0] != key]
            was_held = len(kept) < len(self._held)
            self._held = deque(kept)
            self._rings = self._rings and bool(kept)
            return was_held

    def set_wakeup(self, wake: "Callable[[], None] | None") -> None:
        """Call `wake` when there are notices to `take`, and now if there are some. It may be called in any
        thread, and must not wait. None means that there is no prompt."""
        with self._changed:
            self._wake = wake
            if wake is not None and self._held:
                wake()

    def take(self) -> str:
        """Remove all notices, and return the text to write: complete lines."""
        with self._changed:
            lines = [text for _, text in self._held]
            if self._dropped:
                lines.insert(0, f"… {self._dropped} earlier lines were dropped\n")
            bell = _BELL if self._rings else ""
            self._held.clear()
            self._dropped, self._rings, self._taken = 0, False, self._count
            self._changed.notify_all()
        return bell + "".join(lines) if lines else ""


NOTICES = Notices()


def _safe(text: str) -> str:
    colours = Filter()
    return colours.feed(text.rstrip("\n")) + colours.end() + "\n"
