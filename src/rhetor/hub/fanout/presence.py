"""Tracks which streams and sessions have connected clients, and calls back after the last client has left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Set
from contextlib import contextmanager
from functools import partial

from msgspec import Struct

from rhetor.errors import NotFound, RhetorError, ShuttingDown

SESSION = "session"
SETTLE_SECONDS = 1.0  # until a node knows of the clients at all other nodes
MOST_WITHDRAWN = 10_000  # that are remembered for tasks which have checked a share, and read nothing yet


class Occupancy:
    """Counts the holders of each key, and calls back when a key has had no holder for a while.

    There are no calls after `close`.
    """

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False

    def __contains__(self, key: str) -> bool:
        return key in self._count

    def count(self, key: str) -> int:
        """Return the number of holders of the key."""
        return self._count[key]

    @contextmanager
    def hold(self, key: str, grace: float, on_left: Callable[[], None]) -> Iterator[None]:
        """Hold the key while the context is open.

        `on_left` is called if the last holder leaves and there is no new one within `grace` seconds.
        """
        self.enter(key)
        try:
            yield
        finally:
            self.leave(key, grace, on_left)

    def enter(self, key: str) -> None:
        """Count one more holder of the key, until `leave` is called."""
        self.forget(key)
        self._count[key] += 1

    def leave(self, key: str, grace: float, on_left: Callable[[], None]) -> None:
        """Count one holder less. `grace`, `on_left`: as in `hold`."""
        if self._count[key] > 1:
            self._count[key] -= 1
        else:
            del self._count[key]
        self.expect(key, grace, on_left)

    def expect(self, key: str, grace: float, on_left: Callable[[], None]) -> None:
        """Call `on_left` unless the key has a holder within `grace` seconds."""
        if self._closed or key in self._count:
            return

        def left() -> None:
            del self._timers[key]
            on_left()

        self.forget(key)
        self._timers[key] = asyncio.get_running_loop().call_later(grace, left)

    def expect_soon(self, key: str, on_left: Callable[[], None]) -> None:
        """Call `on_left` unless the key has a holder within `SETTLE_SECONDS`. No effect if a call is pending
        already."""
        if key not in self._timers:
            self.expect(key, SETTLE_SECONDS, on_left)

    def forget(self, key: str) -> None:
        """Cancel the pending call for the key, if there is one."""
        if timer := self._timers.pop(key, None):
            timer.cancel()

    @property
    def keys(self) -> Collection[str]:
        """The keys that have a holder, or had one, so that `on_left` will be called."""
        return {*self._count, *self._timers}

    def close(self) -> None:
        """Cancel all pending calls, and make no more."""
        self._closed = True
        for key in list(self._timers):
            self.forget(key)


class Reader(Struct, eq=False):
    """A task that serves a client. `stream`, `subject`: what it reads for whom, if it reads only one stream.
    `ended`: why the hub cancelled it; None if it did not."""

    task: asyncio.Task[object]
    stream: str = ""
    subject: str = ""
    ended: RhetorError | None = None

    def end(self, error: RhetorError) -> None:
        """Cancel the task, which then reports the error to the client."""
        if self.ended is None:
            self.ended = error
            self.task.cancel()


class RemoteReader(Struct, frozen=True, gc=False):
    """All readers of a stream at another node. `only_end`: they need only a turn's end."""

    node: str
    stream: str
    only_end: bool


class Presence:
    """The tasks that read streams for clients, and the other nodes at which the streams of this one are read.

    `on_left(stream)` is called if a stream has no reader for `grace` seconds after its last one has left, and
    `on_changed(stream)` when a reader comes or leaves.
    """

    def __init__(
        self,
        grace: float,
        on_left: Callable[[str], None],
        on_changed: Callable[[str], None] = lambda stream: None,
    ) -> None:
        self._grace = grace
        self._on_left = on_left
        self._on_changed = on_changed
        self._occupancy = Occupancy()
        self._ends_only: Counter[str] = Counter()
        self._remote: Set[RemoteReader] = frozenset()
        self._readers: set[Reader] = set()
        self._withdrawn: dict[tuple[str, str], None] = {}

    @contextmanager
    def reader(self, stream: str, subject: str = "") -> Iterator[Reader]:
        """Count the current task as a reader of the stream while the context is open. `subject`: for whom it
        reads.

        Raises:
            NotFound: the subject may not read the stream any more.
        """
        if (stream, subject) in self._withdrawn:  # since the task checked it
            raise NotFound(SESSION, stream)
        reader = self._entered(stream, subject)
        self._occupancy.enter(stream)
        try:
            self._on_changed(stream)
            yield reader
        finally:
            self._readers.discard(reader)
            self._leave(stream, self._grace)
            self._on_changed(stream)

    def _leave(self, stream: str, grace: float) -> None:
        self._occupancy.leave(stream, grace, partial(self._on_left, stream))

    def set_remote(self, readers: Set[RemoteReader], departed: Collection[str]) -> None:
        """Count these as readers of their streams, and no others of other nodes any more. `departed`: the
        streams that the last reader of a node has left for longer than `grace`."""
        came, left = readers - self._remote, self._remote - readers
        self._remote = readers
        for each in came:  # before others leave, so that a stream which is still read has no moment without
            self._occupancy.enter(each.stream)
            if each.only_end:
                self._ends_only[each.stream] += 1
        for each in left:
            self._leave(each.stream, SETTLE_SECONDS if each.stream in departed else self._grace)
            if each.only_end:
                _count_less(self._ends_only, each.stream)
        for stream in departed:  # also of those who came and left before this node knew of them
            self._occupancy.expect_soon(stream, partial(self._on_left, stream))

    def withdraw(self, stream: str, subject: str) -> None:
        """Cancel the readers of a stream for this subject, and accept no new ones."""
        self._withdrawn[stream, subject] = None
        if len(self._withdrawn) > MOST_WITHDRAWN:
            del self._withdrawn[next(iter(self._withdrawn))]
        for reader in list(self._readers):
            if reader.stream == stream and reader.subject == subject:
                reader.end(NotFound(SESSION, stream))

    def admit(self, stream: str, subject: str) -> None:
        """Accept readers of a stream for this subject again."""
        self._withdrawn.pop((stream, subject), None)

    @contextmanager
    def connected(self, stream: str = "", subject: str = "") -> Iterator[Reader]:
        """Cancel the current task, which serves a client, if the hub shuts down while the context is open."""
        reader = self._entered(stream, subject)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def _entered(self, stream: str, subject: str) -> Reader:
        task = asyncio.current_task()
        assert task is not None
        reader = Reader(task, stream, subject)
        self._readers.add(reader)
        return reader

    @contextmanager
    def waiting_for_end(self, stream: str) -> Iterator[None]:
        """Declare that one reader of the stream needs only a turn's end, while the context is open."""
        with counted(self._ends_only, stream):
            yield

    def wants_each_event(self, stream: str) -> bool:
        """Return False if all readers of the stream need only a turn's end; True if there are no readers."""
        only_end = self._ends_only[stream]
        return not only_end or self._occupancy.count(stream) > only_end

    def readers(self, stream: str) -> int:
        """Return the number of tasks that read the stream."""
        return self._occupancy.count(stream)

    def forget(self, stream: str) -> None:
        """Cancel the pending call for the stream, because nothing is running there any more."""
        self._occupancy.forget(stream)

    def close(self) -> None:
        """Cancel all readers. `on_left` is not called any more."""
        self._occupancy.close()
        for reader in list(self._readers):
            reader.end(ShuttingDown())


@contextmanager
def counted(counter: Counter[str], key: str) -> Iterator[None]:
    """Add one to the key's count while the context is open."""
    counter[key] += 1
    try:
        yield
    finally:
        _count_less(counter, key)


def _count_less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
