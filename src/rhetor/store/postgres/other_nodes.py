"""What the nodes of one database have to know of each other's writes.

A node tells the others the names of what it has changed. What the others have changed, it forgets and then
reads from the database; it also wakes the followers of those streams.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from rhetor.store.base import Head, Place, RowWatcher
from rhetor.store.commit import Append
from rhetor.store.incarnation import Incarnation
from rhetor.store.requests import ForgetStream, Landed, Outcome, Ticket
from rhetor.store.tail import Tail
from rhetor.store.wakeups import Wakeups

from .events import Events
from .owners import has_owner
from .wake_ups import Name

MOST_SHARED = 10_000  # names of streams that other nodes write, too


class OtherNodes:
    """What the other nodes write. `known`: the incarnations that the writer remembers. `is_shared`: whether
    another node may write a stream at the same time; such a stream is always read from the database."""

    def __init__(self, tail: Tail, wakeups: Wakeups, events: Events, known: dict[str, Incarnation]) -> None:
        self.is_shared: Callable[[str], bool] = lambda stream: False
        self._tail = tail
        self._wakeups = wakeups
        self._events = events
        self._known = known
        self._shared: set[str] = set()
        self._swept: dict[str, tuple[str, int, int]] = {}
        self._watched: frozenset[str] = frozenset()
        self._watcher: RowWatcher | None = None

    def watch(self, kinds: Collection[str], watcher: RowWatcher) -> None:
        """Tell the watcher of all rows of these kinds that any node changes."""
        self._watched, self._watcher = frozenset(kinds), watcher

    def names_of(self, tickets: Sequence[Ticket], outcomes: Sequence[Outcome]) -> Sequence[Name]:
        """Return the names of what requests of this node have changed, and tell the watcher."""
        names: list[Name] = []
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            if isinstance(outcome, Landed):
                names += self._names_of(ticket, outcome)
        if self._watcher is not None and (places := [name for name in names if not isinstance(name, str)]):
            self._watcher.here(places)
        return names

    def note_written(self, stream: str, head: Head, events: int) -> bool:
        """Note that this node has written events, after which the stream has this head. Return whether no
        other node writes the stream, so that its records may be kept."""
        known = self._tail.head(stream)
        if known is not None and known.epoch == head.epoch and known.head + events != head.head:
            self._share([stream])  # another node has written in between
        if has_owner(stream):
            self._shared.discard(stream)  # it belongs to this node now
        return stream not in self._shared and not self.is_shared(stream)

    def changed(self, streams: Sequence[str], places: Sequence[Place]) -> None:
        """Act on a notification: other nodes have changed these streams and rows."""
        self._share(streams)
        for stream in streams:  # first the followers, for which clients wait
            self._wakeups.wake(stream)
        if self._watcher is not None:
            self._watcher.elsewhere(streams, places)

    def missed(self) -> None:
        """Act on lost notifications: other nodes may have changed anything."""
        self._tail.forget_unused(0.0)
        if self._watcher is not None:
            self._watcher.missed()
        self._wakeups.wake_all()

    async def sweep(self) -> None:
        """Wake the followers of the streams whose heads are not as in the last sweep.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        waiting = self._wakeups.names
        found = await self._events.heads(waiting) if waiting else {}
        for stream in waiting:
            if found.get(stream) != self._swept.get(stream):
                head, known = found.get(stream), self._tail.head(stream)
                if known is not None and head != (known.epoch, known.head, known.earliest):
                    self._share([stream])
                self._wakeups.wake(stream)
        self._swept = found

    def _names_of(self, ticket: Ticket, landed: Landed) -> list[Name]:
        request = ticket.request
        names: list[Name] = [landed.stream] if landed.head is not None else []
        if isinstance(request, Append):
            if (request.rows or request.adds or request.drop) and not landed.answer.replayed:
                names += self._places_of(request)
        elif isinstance(request, ForgetStream) and landed.answer:
            names += [request.stream, *self._places_of(request.dropping)]
        return names

    def _places_of(self, append: Append) -> list[Place]:
        """Return the watched rows that a commit changes."""
        written = [(each.kind, each.id) for rows in (append.rows, append.adds) for each in rows]
        return [place for place in (*append.drop, *written) if place[0] in self._watched]

    def _share(self, streams: Iterable[str]) -> None:
        """Keep no records of streams that other nodes write, too: they could be outdated."""
        if len(self._shared) > MOST_SHARED:
            self._shared.clear()
        for stream in streams:
            self._shared.add(stream)
            self._tail.forget(stream)
            self._known.pop(stream, None)
