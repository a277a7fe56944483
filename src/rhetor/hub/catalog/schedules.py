"""Schedules as rows, and all of them in memory, in the order of their next times.

The rows are authoritative. A use case that commits a change to a row makes the same change here afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import msgspec
from msgspec.structs import replace

from rhetor.domain.schedule import Schedule
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Catalog, Expect, Row

KIND = "schedule"
DUE_RUN, DUE = "schedule_due", "due"  # the kind and the state of the row of a run that is still to be sent
ACTIVE, PAUSED = "active", "paused"
MOST_AT_ONCE = 100  # runs that work at the same time; the others wait
MAX_ROWS = 1_000_000
_SLACK = 64  # entries of the heap that may be out of date before it is built again


def row_of(schedule: Schedule) -> Row:
    """Return the schedule as a catalog row."""
    state = PAUSED if schedule.paused else ACTIVE
    doc = msgspec.json.encode(schedule)
    return Row(KIND, schedule.id, state, doc, schedule.owner, schedule.session_id, schedule.name, schedule.at)


def schedule_of(row: Row) -> Schedule:
    """Decode the schedule of a row."""
    return replace(msgspec.json.decode(row.doc, type=Schedule), version=row.version)


def unchanged(schedule: Schedule) -> Expect:
    """Return the condition that the schedule has not changed since it was read."""
    return Expect(KIND, schedule.id, version=schedule.version)


def run_row(schedule: Schedule, due: int, now: int) -> Row:
    """Return the row of a run that is due and still to be sent. It is dropped when the run is accepted."""
    return Row(DUE_RUN, f"{schedule.id}/{due}", DUE, b"{}", schedule.owner, schedule.id, at=now)


def due_of(row: Row) -> int:
    """Return the due time of the row of a run."""
    return int(row.id.rpartition("/")[2])


@dataclass(slots=True, eq=False, repr=False)
class Schedules:
    """All schedules. `changed` notifies when the next time may have changed. `slots`: limits the runs that
    work at once. `seen`: the time when the clock was last read. `counted` is called with the number of
    schedules that will run."""

    changed: Notifier = field(default_factory=Notifier)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_ONCE))
    seen: int = 0
    counted: Callable[[int], None] = lambda number: None
    _by_id: dict[str, Schedule] = field(default_factory=dict)
    _by_name: dict[tuple[str, str], str] = field(default_factory=dict)
    _by_session: dict[str, str] = field(default_factory=dict)
    _times: list[tuple[int, str]] = field(default_factory=list)
    _waiting: int = 0

    async def load(self, catalog: Catalog) -> None:
        """Read all schedules from the catalog. Call it once."""
        for row in await catalog.find(KIND, limit=MAX_ROWS):
            self._put(schedule_of(row))

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Schedule]:
        return iter(self._by_id.values())

    @property
    def waiting(self) -> int:
        """The number of schedules that have a next time."""
        return self._waiting

    def get(self, id: str) -> Schedule | None:
        return self._by_id.get(id)

    def named(self, owner: str, name: str) -> Schedule | None:
        """Return the owner's schedule with this name, if there is one."""
        return self._by_id.get(self._by_name.get((owner, name), ""))

    def in_session(self, session_id: str) -> Schedule | None:
        """Return the schedule whose answers are in the session, if there is one."""
        return self._by_id.get(self._by_session.get(session_id, ""))

    def number_of(self, owner: str) -> int:
        """Return how many schedules the owner has."""
        return sum(by == owner for by, _ in self._by_name)

    def next_time(self) -> int | None:
        """Return the earliest time at which a schedule is due, which may be past; None if there is none."""
        while self._times and not self._is_current(*self._times[0]):
            heappop(self._times)
        return self._times[0][0] if self._times else None

    def take_due(self, now: int, most: int) -> list[str]:
        """Return the ids of at most `most` schedules that are due, the earliest first, and leave them out
        until they are put or queued again."""
        taken: dict[str, None] = {}
        while len(taken) < most and (due := self.next_time()) is not None and due <= now:
            taken[heappop(self._times)[1]] = None
        return list(taken)

    def queue(self, id: str) -> None:
        """Let a schedule that was taken be due again."""
        if (known := self._by_id.get(id)) is not None and known.due is not None:
            heappush(self._times, (known.due, id))
            self.changed.notify()

    def mirror(self, id: str, row: Row | None) -> None:
        """Use a row as it is stored. None: it was dropped."""
        known = self._by_id.get(id)
        if row is None:
            if known is not None:
                self.remove(known)
        elif known is None or known.version != row.version:
            self.put(schedule_of(row))

    @property
    def ids(self) -> list[str]:
        return list(self._by_id)

    def put(self, schedule: Schedule) -> None:
        """Add a schedule, or replace it."""
        before = self._waiting
        self._put(schedule)
        self._tell(before)

    def remove(self, schedule: Schedule) -> None:
        before = self._waiting
        self._forget(schedule.id)
        self._tell(before)

    def _put(self, schedule: Schedule) -> None:
        self._forget(schedule.id)
        self._by_id[schedule.id] = schedule
        self._by_name[schedule.owner, schedule.name] = schedule.id
        self._by_session[schedule.session_id] = schedule.id
        if schedule.due is not None:
            self._waiting += 1
            heappush(self._times, (schedule.due, schedule.id))
        if len(self._times) > 2 * self._waiting + _SLACK:
            self._times = [(each.due, each.id) for each in self if each.due is not None]
            heapify(self._times)

    def _forget(self, id: str) -> None:
        known = self._by_id.pop(id, None)
        if known is not None:
            self._by_name.pop((known.owner, known.name), None)
            self._by_session.pop(known.session_id, None)
            self._waiting -= known.due is not None

    def _tell(self, before: int) -> None:
        self.changed.notify()
        if self._waiting != before:
            self.counted(self._waiting)

    def _is_current(self, due: int, id: str) -> bool:
        schedule = self._by_id.get(id)
        return schedule is not None and schedule.due == due
