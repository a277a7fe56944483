"""Which refusals have entries of their own in the audit, so that noise cannot fill it."""

from __future__ import annotations

from collections import Counter

WINDOW_SECONDS = 3600.0
EACH, ALL = 5, 60


class RefusalLimit:
    """Admits at most 5 refusals an hour for each caller, and 60 for all callers. The others are counted."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._admitted: Counter[str] = Counter()  # at most `ALL` callers, whoever else calls
        self._left_out = 0

    def admits(self, caller: str, now: float) -> bool:
        """Return whether a refusal gets an entry, and count it. `now`: monotonic seconds."""
        if now >= self._began + WINDOW_SECONDS:
            self._began = now
            self._admitted.clear()
        if self._admitted[caller] >= EACH or self._admitted.total() >= ALL:
            self._left_out += 1
            return False
        self._admitted[caller] += 1
        return True

    def left_out(self, now: float | None) -> int:
        """Return how many refusals were left out since the last call, if the window is over. If `now` is
        None, it is over."""
        if now is not None and now < self._began + WINDOW_SECONDS:
            return 0
        count, self._left_out = self._left_out, 0
        return count
