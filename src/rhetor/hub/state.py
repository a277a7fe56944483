"""What the use cases share: the store, the peers, who runs what now, and the owner of all tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch
from rhetor.drivers.base import Conversation, Driver, ProgramDriver, Transcripts
from rhetor.errors import NotFound, NotRunning, ShuttingDown, StoreRefused
from rhetor.store.base import Blobs, Store

from .catalog.peer_stats import PeerStatistics
from .catalog.routing_table import RoutingTable
from .core.ids import Ids
from .core.notifier import Notifier
from .fanout.broadcaster import Broadcaster
from .fanout.presence import Attendance, Presence
from .fanout.read_marks import ReadMarks
from .peers import Peers

if TYPE_CHECKING:
    from .active import ProgramInstance
    from .plans.plan_run import PlanRun
    from .turns.pending import PendingRequests
    from .turns.runner import SessionRunner
    from .turns.turn_run import TurnRun


@dataclass(frozen=True, slots=True)
class Limits:
    """`session_ttl` and `abandon_after` in seconds; `message_bytes` of UTF-8; `hops`: peers in a chain;
    `permission_seconds`: how long a person has to answer a request; `detach_ttl`: seconds that a session
    which somebody is to attend to waits for one; `default_peer`: of sessions that name none."""

    session_ttl: float = 3600.0
    context_window: int = 10
    message_bytes: int = 1 << 20
    hops: int = 8
    abandon_after: float = 5.0
    permission_seconds: float = 600.0
    detach_ttl: float = 60.0
    default_peer: str = "numa"


def no_launches(peer: Peer, cwd: str | None) -> Launch:
    """How configured programs are started where none is configured."""
    raise NotRunning(peer.name)


class NoBlobs:
    """Binary content where there is no place for any."""

    async def keep(self, content: bytes) -> str:
        raise StoreRefused("there is no place for binary content")

    async def read(self, id: str) -> bytes:
        raise NotFound("blob", id)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        return 0


@dataclass(slots=True)
class State:
    """`lanes`: sessions with a turn that runs or waits. `plans`: plans that run. `asking`: what
    running turns (by id) wait to be told. `seats`: programs that run, by peer; `gone`: how those that ended
    did, and when. `asked`: rung when requests for permission come or go. `launches`: what a configured
    program is started with; `transcripts`: what agents keep themselves, by driver. `joint`: who speaks for
    teams and for the hub, by driver. `arranged`: forwards, routes and their like. All else only mirrors what
    log and catalog say, for as long as something is going on."""

    store: Store
    peers: Peers
    drivers: Mapping[str, Driver]
    ids: Ids
    limits: Limits
    tasks: asyncio.TaskGroup
    presence: Presence
    peer_statistics: PeerStatistics
    runners: dict[str, SessionRunner] = field(default_factory=dict)
    plans: dict[str, PlanRun] = field(default_factory=dict)
    pending: dict[str, PendingRequests] = field(default_factory=dict)
    program_drivers: Mapping[str, ProgramDriver] = field(default_factory=dict)
    launches: Callable[[Peer, str | None], Launch] = no_launches
    transcripts: Mapping[str, Transcripts] = field(default_factory=dict)
    instances: dict[str, ProgramInstance] = field(default_factory=dict)
    gone: dict[str, tuple[Exit, int]] = field(default_factory=dict)
    blobs: Blobs = field(default_factory=NoBlobs)
    joint: Mapping[str, Callable[[State, Peer, PendingRequests], Conversation]] = field(default_factory=dict)
    read_marks: ReadMarks = field(default_factory=ReadMarks)
    notifier: Notifier = field(default_factory=Notifier)
    requests_changed: Notifier = field(default_factory=Notifier)
    broadcaster: Broadcaster = field(init=False)
    attendance: Attendance = field(default_factory=Attendance)
    routing_table: RoutingTable = field(default_factory=RoutingTable)
    closing: bool = False
    _starting: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.broadcaster = Broadcaster(self.store)

    @asynccontextmanager
    async def starting(self, instance: str) -> AsyncIterator[None]:
        """One start for a seat at a time."""
        lock = self._starting.setdefault(instance, asyncio.Lock())
        async with lock:
            yield

    def require_open(self) -> None:
        """Raises:
        ShuttingDown: nothing new is taken any more."""
        if self.closing:
            raise ShuttingDown

    def running_turns(self) -> Iterator[TurnRun]:
        """In sessions and in plans."""
        yield from (runner.current for runner in self.runners.values() if runner.current)
        for plan in self.plans.values():
            yield from plan.runs

    @property
    def running(self) -> int:
        """Turns and plans that run or wait to run."""
        return len(self.runners) + len(self.plans)
