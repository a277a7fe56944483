"""How long one waits for a hub that is away, and how often one looks."""

from __future__ import annotations

import asyncio
import random

_FIRST, _LONGEST = 0.05, 2.0  # seconds


class Patience:
    """Pauses between tries: random, up to 0.05 s and then twice as long each time, at most 2 s; until
    `seconds` after it was made are over. None: for ever."""

    def __init__(self, seconds: float | None) -> None:
        self._ends = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._longest = _FIRST

    async def pause(self, why: Exception) -> None:
        """Wait, and then try again.

        Raises:
            Exception: `why`, where the time is over.
        """
        left = None if self._ends is None else self._ends - asyncio.get_running_loop().time()
        if left is not None and left <= 0:
            raise why
        # full jitter, so that many clients do not come back at the same moment
        seconds = random.uniform(self._longest / 4, self._longest)
        self._longest = min(self._longest * 2, _LONGEST)
        await asyncio.sleep(seconds if left is None else min(seconds, left))
