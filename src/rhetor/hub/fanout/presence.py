"""Who still looks at a stream: a caller that went away for good need not be answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Reader:
    """A task that reads a stream. `dismissed`: it was cancelled because the hub ends, for nothing else."""

    task: asyncio.Task[object]
    dismissed: bool = False

    def dismiss(self) -> None:
        self.dismissed = True
        self.task.cancel()


class Presence:
    """Counts the readers of streams, and tells when one was left alone.

    `when_left(stream)` is called once a stream has had no reader for `patience` seconds after its last one
    went; a reader that comes back in time stops that.
    """

    def __init__(self, patience: float, when_left: Callable[[str], None]) -> None:
        self._patience = patience
        self._when_left = when_left
        self._count: Counter[str] = Counter()
        self._for_the_end: Counter[str] = Counter()
        self._readers: set[Reader] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @contextmanager
    def reader(self, stream: str) -> Iterator[Reader]:
        """For as long as the current task reads the stream."""
        task = asyncio.current_task()
        assert task is not None
        reader = Reader(task)
        self._readers.add(reader)
        self._count[stream] += 1
        if timer := self._timers.pop(stream, None):
            timer.cancel()
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self._count[stream] -= 1
            if not self._count[stream]:
                del self._count[stream]
                loop = asyncio.get_running_loop()
                self._timers[stream] = loop.call_later(self._patience, self._left, stream)

    @contextmanager
    def only_for_the_end(self, stream: str) -> Iterator[None]:
        """For as long as a reader of the stream waits for an end, and does not look at what comes before."""
        self._for_the_end[stream] += 1
        try:
            yield
        finally:
            self._for_the_end[stream] -= 1
            if not self._for_the_end[stream]:
                del self._for_the_end[stream]

    def is_hurried(self, stream: str) -> bool:
        """Whether what comes may be wanted at once; else all who read the stream only wait for an end."""
        patient = self._for_the_end[stream]
        return not patient or self._count[stream] > patient

    def readers(self, stream: str) -> int:
        """How many read the stream now."""
        return self._count[stream]

    def forget(self, stream: str) -> None:
        """The stream has nothing left that could be stopped."""
        if timer := self._timers.pop(stream, None):
            timer.cancel()

    def close(self) -> None:
        """Dismiss who still reads; nobody is left alone any more."""
        for reader in list(self._readers):
            reader.dismiss()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _left(self, stream: str) -> None:
        self._timers.pop(stream, None)
        self._when_left(stream)


class Attendance:
    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    def __contains__(self, id: str) -> bool:
        """Whether somebody attends to it now."""
        return id in self._count

    @contextmanager
    def attend(self, id: str, patience: float, deserted: Callable[[], None]) -> Iterator[None]:
        """For as long as somebody attends; `deserted` is called when nobody has for `patience` seconds."""
        self._count[id] += 1
        if timer := self._timers.pop(id, None):
            timer.cancel()
        try:
            yield
        finally:
            self._count[id] -= 1
            if not self._count[id]:
                del self._count[id]
                self.expect(id, patience, deserted)

    def expect(self, id: str, patience: float, deserted: Callable[[], None]) -> None:
        """Nobody attends; `deserted` is called when nobody has come after `patience` seconds."""
        if self._closed or id in self._count:
            return

        def left() -> None:
            del self._timers[id]
            deserted()

        self._timers[id] = asyncio.get_running_loop().call_later(patience, left)

    def close(self) -> None:
        """Nobody is called any more."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
