"""Which names have changed since a moment, for readers that show many things and read again only what
changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from .notifier import Notifier

MOST_NAMES = 10_000  # that are remembered; a reader that is further behind reads everything again
V = TypeVar("V")


class Changes(Generic[V]):
    """The names that have changed, in the order of their last change, each with the value noted with it.

    Nothing is remembered while nobody watches. To miss no change, read `now` and then what the names stand
    for, and ask for the changes since that moment afterwards.
    """

    def __init__(self) -> None:
        self._noted: dict[str, tuple[int, V]] = {}
        self._forgotten = 0  # every name may have changed until then
        self._watchers = 0
        self._notifier = Notifier()
        self.now = 0

    @property
    def is_watched(self) -> bool:
        return self._watchers > 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Remember changes while the context is open."""
        if not self._watchers:
            self._forget()  # nothing was remembered so far
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._noted.clear()

    def note(self, name: str, value: V) -> None:
        """Note that a name has changed, after the change can be read."""
        if not self._watchers:
            return
        self.now += 1
        self._noted.pop(name, None)
        self._noted[name] = self.now, value
        if len(self._noted) > MOST_NAMES:
            self._forgotten, _ = self._noted.pop(next(iter(self._noted)))
        self._notifier.notify()

    def note_all(self) -> None:
        """Note that every name may have changed."""
        if self._watchers:
            self._forget()
            self._notifier.notify()

    def since(self, moment: int) -> dict[str, V] | None:
        """Return the names that have changed after a moment; None if every name may have changed."""
        if moment < self._forgotten:
            return None
        found: dict[str, V] = {}
        for name in reversed(self._noted):
            at, value = self._noted[name]
            if at <= moment:
                break
            found[name] = value
        return found

    def next(self) -> asyncio.Event:
        """Return the event that the next change sets."""
        return self._notifier.next()

    def _forget(self) -> None:
        self.now += 1
        self._noted.clear()
        self._forgotten = self.now
