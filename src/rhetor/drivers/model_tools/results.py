"""The answers that a turn waits for, tool results and permissions, each as a future."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rhetor.drivers.models.deadline import Interrupted


class Answers:
    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._interrupted = False

    @contextmanager
    def expected(self, id: str) -> Iterator[asyncio.Future[Any]]:
        """Yield the future for the answer to `id`. Enter this before the request is output.

        Raises:
            Interrupted: `interrupt` was called.
        """
        if self._interrupted:
            raise Interrupted
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._waiting[id]

    def give(self, id: str, value: Any) -> None:
        """Set the answer to `id`. If nothing waits for it, it is ignored."""
        future = self._waiting.get(id)
        if future is not None and not future.done():
            future.set_result(value)

    def interrupt(self) -> None:
        """Make everything that waits for an answer, now or later, raise `Interrupted`."""
        self._interrupted = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Interrupted())
