"""What a turn waits to be told: one future a question, whoever answers it."""

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
        """The answer to come; to be entered before the question is asked."""
        if self._interrupted:
            raise Interrupted
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            yield future
        finally:
            del self._waiting[id]

    def give(self, id: str, value: Any) -> None:
        """Answer; where nobody waits (any more), nothing happens."""
        future = self._waiting.get(id)
        if future is not None and not future.done():
            future.set_result(value)

    def interrupt(self) -> None:
        """End all waiting, now and later, with `Interrupted`."""
        self._interrupted = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Interrupted())
