"""Who is connected to what, and what happens when the last one has gone and does not come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Occupancy:
    """Counts who holds a key, and notices when nobody has held it for a while.

    Nothing is noticed after `close`.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    def __contains__(self, key: str) -> bool:
        return key in self._count

    def count(self, key: str) -> int:
        """How many hold the key now."""
        return self._count[key]

    @contextmanager
    def hold(self, key: str, grace: float, on_left: Callable[[], None]) -> Iterator[None]:
        """Hold the key for as long as the context lasts.

        `on_left` is called when nobody holds it any more and nobody comes back within `grace` seconds.
        """
        self.forget(key)
        try:
            with counted(self._count, key):
                yield
        finally:
            self.expect(key, grace, on_left)

    def expect(self, key: str, grace: float, on_left: Callable[[], None]) -> None:
        """Call `on_left` unless somebody holds the key within `grace` seconds."""
        if self._closed or key in self._count:
            return

        def left() -> None:
            del self._timers[key]
            on_left()

        self.forget(key)
        self._timers[key] = asyncio.get_running_loop().call_later(grace, left)

    def forget(self, key: str) -> None:
        """Notice nothing about the key until somebody holds it again."""
        if timer := self._timers.pop(key, None):
            timer.cancel()

    def close(self) -> None:
        self._closed = True
        for key in list(self._timers):
            self.forget(key)


@dataclass(slots=True, eq=False)
class Reader:
    """A task that reads a stream. `dismissed`: it was cancelled because the hub shuts down."""

    task: asyncio.Task[object]
    dismissed: bool = False

    def dismiss(self) -> None:
        self.dismissed = True
        self.task.cancel()


class Presence:
    """The readers of streams.

    `on_left(stream)` is called when a stream has had no reader for `grace` seconds after its last one left.
    """

    def __init__(self, grace: float, on_left: Callable[[str], None]) -> None:
        self._grace = grace
        self._on_left = on_left
        self._occupancy = Occupancy()
        self._for_the_end: Counter[str] = Counter()
        self._readers: set[Reader] = set()

    @contextmanager
    def reader(self, stream: str) -> Iterator[Reader]:
        """Count the current task as a reader of the stream for as long as the context lasts."""
        task = asyncio.current_task()
        assert task is not None
        reader = Reader(task)
        self._readers.add(reader)
        try:
            with self._occupancy.hold(stream, self._grace, lambda: self._on_left(stream)):
                yield reader
        finally:
            self._readers.discard(reader)

    @contextmanager
    def only_for_the_end(self, stream: str) -> Iterator[None]:
        """Say that a reader of the stream waits for an end and skips what comes before it."""
        with counted(self._for_the_end, stream):
            yield

    def is_hurried(self, stream: str) -> bool:
        """Whether a reader may want each event at once; False if all readers only wait for an end."""
        patient = self._for_the_end[stream]
        return not patient or self._occupancy.count(stream) > patient

    def readers(self, stream: str) -> int:
        """How many tasks read the stream now."""
        return self._occupancy.count(stream)

    def forget(self, stream: str) -> None:
        """The stream has nothing left that could be stopped."""
        self._occupancy.forget(stream)

    def close(self) -> None:
        """Cancel the tasks that still read. `on_left` is not called any more."""
        self._occupancy.close()
        for reader in list(self._readers):
            reader.dismiss()


@contextmanager
def counted(counter: Counter[str], key: str) -> Iterator[None]:
    """Add one to the key for as long as the context lasts."""
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]
