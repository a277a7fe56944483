"""Lines that arrive for the person while the shell does something else: held until there is a prompt to show
them above. Where they come from, and how a prompt is drawn, this module refuses to know.

What is held is bounded: of more than `MOST_HELD` lines the oldest are dropped, and that is said.
"""

from collections import deque
from threading import Condition

from aish.render import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST_HELD = 200
_BELL = "\x07"


class Above:
    """May be told from any thread. One prompt at a time takes what has arrived."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._held: deque[tuple[str, str]] = deque()
        self._count = self._taken = 0
        self._dropped = 0
        self._rings = False
        self._wake: Callable[[], None] | None = None

    def show(self, text: str) -> None:
        """As `hold`, and wait until there was a prompt: what this returns for was shown."""
        number = self.hold(text)
        with self._changed:
            self._changed.wait_for(lambda: self._taken >= number)

    def hold(self, text: str, *, key: str = "", rings: bool = False) -> int:
        """Show lines above the prompt, now or when there is one, whatever is being typed there; this does not
        wait. Of escape sequences only colours are passed on. `rings`: with one BEL; `key`: by which it is
        withdrawn. How many there were by now, this one included."""
        safe = _safe(text)
        with self._changed:
            self._count += 1
            self._held.append((key, safe))
            self._rings = self._rings or rings
            if len(self._held) > MOST_HELD:
                self._held.popleft()
                self._dropped += 1
            if self._wake is not None:
                self._wake()
            return self._count

    def withdraw(self, key: str) -> bool:
        """Do not show that any more; False where it was shown already, or never was to be."""
        with self._changed:
            kept = [line for line in self._held if line[0] != key]
            was_held = len(kept) < len(self._held)
            self._held = deque(kept)
            self._rings = self._rings and bool(kept)
            return was_held

    def await_at(self, wake: "Callable[[], None] | None") -> None:
        """`wake` is called when there is something to `take`, at once where there is; by any thread, and it
        must not wait. None: nobody is at a prompt."""
        with self._changed:
            self._wake = wake
            if wake is not None and self._held:
                wake()

    def take(self) -> str:
        """All that has arrived, as it is to be written: whole lines."""
        with self._changed:
            lines = [text for _, text in self._held]
            if self._dropped:
                lines.insert(0, f"… {self._dropped} earlier lines were dropped\n")
            bell = _BELL if self._rings else ""
            self._held.clear()
            self._dropped, self._rings, self._taken = 0, False, self._count
            self._changed.notify_all()
        return bell + "".join(lines) if lines else ""


ABOVE = Above()
show_above = ABOVE.show


def _safe(text: str) -> str:
    colours = Filter()
    return colours.feed(text.rstrip("\n")) + colours.end() + "\n"
