"""What the use cases share: the store, the peers, what runs now, and the owner of the background work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch
from rhetor.drivers.base import Driver, ProgramDriver, Transcripts
from rhetor.errors import NotFound, NotRunning, ShuttingDown, StoreRefused
from rhetor.store.base import Blobs, Store

from .active import JointConversation, OpenRequests, ProgramInstance, Runner, RunningPlan, RunningTurn
from .catalog.peer_stats import PeerStatistics
from .catalog.routing_table import RoutingTable
from .core.background import Background
from .core.ids import Ids
from .core.limits import Limits
from .core.notifier import Notifier
from .fanout.broadcaster import Broadcaster
from .fanout.presence import Occupancy, Presence
from .fanout.read_marks import ReadMarks
from .peers import Peers


def no_launches(peer: Peer, cwd: str | None) -> Launch:
    """Stands for the launches of a hub without configured programs."""
    raise NotRunning(peer.name)


class NoBlobs:
    """Refuses binary content: this hub has no place to keep it."""

    async def keep(self, content: bytes) -> str:
        raise StoreRefused("there is no place for binary content")

    async def read(self, id: str) -> bytes:
        raise NotFound("blob", id)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        return 0


@dataclass(slots=True)
class State:
    """What log and catalog say is the truth; everything here only mirrors what is going on now.

    `runners`: sessions with a turn that runs or waits. `plans`: plans that run. `pending`: the open requests
    of running turns, by turn id. `instances`: programs that run, by key; `gone`: how and when programs ended
    (Unix time in milliseconds), by peer. `notifier` fires when a turn, plan or program changes,
    `requests_changed` when permission requests do. `launches`: how a configured program is started.
    `transcripts`: conversations that agents keep themselves, by driver. `joint`: opens conversations with
    teams and with the hub, by driver. `leases`: sessions that end if no client is connected.
    """

    store: Store
    peers: Peers
    drivers: Mapping[str, Driver]
    ids: Ids
    limits: Limits
    background: Background
    presence: Presence
    peer_statistics: PeerStatistics
    runners: dict[str, Runner] = field(default_factory=dict)
    plans: dict[str, RunningPlan] = field(default_factory=dict)
    pending: dict[str, OpenRequests] = field(default_factory=dict)
    program_drivers: Mapping[str, ProgramDriver] = field(default_factory=dict)
    launches: Callable[[Peer, str | None], Launch] = no_launches
    transcripts: Mapping[str, Transcripts] = field(default_factory=dict)
    instances: dict[str, ProgramInstance] = field(default_factory=dict)
    gone: dict[str, tuple[Exit, int]] = field(default_factory=dict)
    blobs: Blobs = field(default_factory=NoBlobs)
    joint: Mapping[str, JointConversation] = field(default_factory=dict)
    read_marks: ReadMarks = field(default_factory=ReadMarks)
    notifier: Notifier = field(default_factory=Notifier)
    requests_changed: Notifier = field(default_factory=Notifier)
    broadcaster: Broadcaster = field(init=False)
    leases: Occupancy = field(default_factory=Occupancy)
    routing_table: RoutingTable = field(default_factory=RoutingTable)
    closing: bool = False
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.broadcaster = Broadcaster(self.store)

    @asynccontextmanager
    async def exclusively(self, name: str) -> AsyncIterator[None]:
        """Do one thing at a time under this name."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield

    def require_open(self) -> None:
        """Raises:
        ShuttingDown: the hub accepts nothing new."""
        if self.closing:
            raise ShuttingDown

    def running_turns(self) -> Iterator[RunningTurn]:
        """The turns that run in sessions and in plans."""
        yield from (runner.current for runner in self.runners.values() if runner.current)
        for plan in self.plans.values():
            yield from plan.runs

    @property
    def running(self) -> int:
        """Turns and plans that run or wait to run."""
        return len(self.runners) + len(self.plans)
