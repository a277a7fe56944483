"""The pauses between a client's attempts to reach the hub, and their time limit."""

from __future__ import annotations

import asyncio
import random

from .errors import HubError

_FIRST, _LONGEST = 0.05, 2.0  # seconds


class Backoff:
    """Random pauses between attempts: up to 0.05 s at first, then twice as long each time, up to 2 s.

    The last one ends `timeout` seconds after the object was created. None means no limit.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        self._longest = _FIRST

    async def pause(self, error: HubError) -> None:
        """Wait until the next attempt.

        Raises:
            HubError: `error`, if the time is over. It says how long the client has waited.
        """
        left = None if self._deadline is None else self._deadline - asyncio.get_running_loop().time()
        if left is not None and left <= 0:
            error.detail = f"{error.detail}; waited {self._timeout:g} s for it"
            raise error
        # random, so that many clients do not reconnect at the same moment
        seconds = random.uniform(self._longest / 4, self._longest)
        self._longest = min(self._longest * 2, _LONGEST)
        await asyncio.sleep(seconds if left is None else min(seconds, left))
