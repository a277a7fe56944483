"""State that the use cases share: the store, the peers, what is running, and the background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import InitVar, dataclass, field
from typing import Any, Protocol
from weakref import WeakValueDictionary

from rhetor.domain.budget import Budget
from rhetor.domain.event import Position
from rhetor.domain.identity import Identities
from rhetor.domain.parts import TEXT_ONLY
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch
from rhetor.domain.program_keys import ProgramKeys
from rhetor.domain.secrets import Secrets
from rhetor.domain.session import Session
from rhetor.domain.tool import Tool
from rhetor.domain.tool_server import ToolServer
from rhetor.drivers.base import (
    Download,
    Driver,
    Inputs,
    MachineLink,
    MachineLinks,
    PeerInputs,
    ProgramDriver,
    ToolServers,
    Transcripts,
)
from rhetor.errors import (
    NotFound,
    NotRunning,
    ShuttingDown,
    StoreRefused,
    ToolServerFailed,
    Unprocessable,
)
from rhetor.store.base import Blobs, Row, Store
from rhetor.store.files.base import Files, Journal, OpenFiles

from .active import BuiltInPeer, NodeBoards, OpenRequests, ProgramInstance, Runner, RunningPlan, RunningTurn
from .catalog.boards import Elsewhere
from .catalog.budgets import Budgets
from .catalog.machines import Machines
from .catalog.notifications import Notifications
from .catalog.pauses import Pause
from .catalog.peer_stats import PeerStatistics
from .catalog.routing_table import RoutingTable
from .catalog.schedules import Schedules
from .catalog.shares import Shares
from .catalog.usage import Usage
from .core.audit import Audit
from .core.background import Background
from .core.deliveries import Deliveries
from .core.ids import Ids
from .core.limits import Limits, Upkeep
from .core.nodes import Mirrors, Nodes, NoMirrors, OneNode
from .core.notifier import Notifier
from .fanout.broadcaster import Broadcaster
from .fanout.live import Live
from .fanout.presence import Occupancy, Presence
from .fanout.read_marks import ReadMarks
from .peers import Peers


def no_launches(peer: Peer, cwd: str | None) -> Launch:
    """Reject every launch: the default for a hub without configured programs.

    Raises:
        NotRunning: always.
    """
    raise NotRunning(peer.name)


class BeforeTurn(Protocol):
    """Prepares a turn of a session. `at`: the position before it. `content`: its message."""

    async def __call__(self, session: Session, turn_id: str, at: Position, content: str) -> None: ...


async def do_nothing(session: Session, turn_id: str, at: Position, content: str) -> None:
    """Prepare nothing."""


class ReadUrl(Protocol):
    """Reads the content of a URL. `loopback`: it may be on this machine.

    Raises:
        Unprocessable: the URL may not be read, or does not answer with content that is small enough.
    """

    async def __call__(self, url: str, *, loopback: bool) -> Download: ...


class NoBlobs:
    """The blob store of a hub that has no folder for binary content: it stores nothing."""

    async def keep(self, content: bytes) -> str:
        raise StoreRefused("this hub has no storage for binary content")

    async def read(self, id: str) -> bytes:
        raise NotFound("blob", id)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        return 0

    async def remove(self, id: str) -> None: ...


class TextOnlyPeers:
    """The inputs of a hub whose peers take only text."""

    async def of(self, peer: Peer) -> Inputs:
        return Inputs(peer.name, TEXT_ONLY)

    async def check_schema(self, schema: Mapping[str, Any]) -> None: ...


async def no_download(url: str, *, loopback: bool) -> Download:
    """Reject all URLs: the hub has no way to read them."""
    raise Unprocessable("this hub does not read URLs; send the content itself")


class NoFiles:
    """The files of a hub that has no folder for them: it stores none."""

    max_file_bytes = 0
    exists = False

    def __call__(self) -> Files:
        raise StoreRefused("this hub has no storage for files")

    def unfinished(self) -> list[Journal]:
        return []

    def unfinished_on(self, machine: str) -> list[Journal]:
        return []


class NoMachineLinks:
    """The links of a hub that no machine can join."""

    def of(self, machine: str) -> MachineLink:
        raise Unprocessable(
            "this hub accepts no machines", hint="use a hub that was started with `rhetor serve`"
        )

    def remove(self, machine: str) -> None: ...


class NoBoards:
    """The boards of a hub that shares its store with no other: there is nobody to tell."""

    def note_left(self, stream: str) -> None: ...

    def note_dropped(self, session_id: str) -> None: ...

    def apply(self, id: str, row: Row | None) -> None: ...

    async def flush(self) -> None: ...


class NoToolServers:
    """The MCP servers of a hub whose models have no tools of servers."""

    def __init__(self) -> None:
        self.configured: dict[str, ToolServer] = {}
        self.added: dict[str, ToolServer] = {}

    def check(self, server: ToolServer) -> None: ...

    def put(self, server: ToolServer) -> None:
        self.added[server.name] = server

    def remove(self, name: str) -> None:
        self.added.pop(name, None)

    async def test(self, name: str) -> Sequence[Tool]:
        hint = "use a hub that was started with `rhetor serve`"
        raise ToolServerFailed("this hub connects to no MCP servers", server=name, hint=hint)


@dataclass(slots=True, eq=False, repr=False)
class State:
    """The shared state of one hub. The log and the catalog are authoritative; this mirrors what is running.

    `runners`: the runners of sessions with a turn that runs or waits, by session id. `plans`: running plans,
    by id. `pending`: the open requests of running turns, by turn id. `pauses`: the pauses of running turns,
    by turn id. `instances`: running programs, by key.
    `gone`: how and when (Unix time in milliseconds) a peer's last program ended, by peer. `notifier` fires
    when a turn, plan or program changes, `requests_changed` when permission requests change, `notes_changed`
    when the messages in a tray change; `activity` fires with both, and when a turn begins or ends.
    `launches`: how a configured program is started. `transcripts`: the agents' own records of conversations,
    by driver. `built_in`: opens conversations with teams and with the hub itself, by driver. `leases`:
    sessions that end if no client is connected. `inputs`: what peers take besides text. `download` reads the
    URLs of parts. `files`: the files of checkpoints. `secrets`: masked in everything that is logged.
    `tool_servers`: the MCP servers whose tools models may have. `before_turn`: is called before a turn, if
    checkpoints are made automatically. `budgets`: false without any. `identities`: the valid grants and
    signing keys. `audit`: who did what from where. `program_keys`: with which running programs call the hub.
    `notifications`: false without recipients. `given_key`: of the ids of given conversations, once one is.
    `live`: what changes, for those who watch it. `machines`: those that have joined, and `machine_links`: the
    links to them. `nodes`: those that share the store. `elsewhere`: what the others of them have said
    last, and `boards`: how this one and the others say it. `mirrors`: what is in memory of the rows that they
    change. `unrecovered`: sessions of a lost node, whose turns have not ended yet.
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
    pauses: dict[str, Pause] = field(default_factory=dict)
    program_drivers: Mapping[str, ProgramDriver] = field(default_factory=dict)
    launches: Callable[[Peer, str | None], Launch] = no_launches
    transcripts: Mapping[str, Transcripts] = field(default_factory=dict)
    instances: dict[str, ProgramInstance] = field(default_factory=dict)
    gone: dict[str, tuple[Exit, int]] = field(default_factory=dict)
    blobs: Blobs = field(default_factory=NoBlobs)
    inputs: PeerInputs = field(default_factory=TextOnlyPeers)
    download: ReadUrl = no_download
    files: OpenFiles = field(default_factory=NoFiles)
    built_in: Mapping[str, BuiltInPeer] = field(default_factory=dict)
    read_marks: ReadMarks = field(default_factory=ReadMarks)
    notifier: Notifier = field(init=False)
    activity: Notifier = field(default_factory=Notifier)
    requests_changed: Notifier = field(init=False)
    notes_changed: Notifier = field(init=False)
    broadcaster: Broadcaster = field(init=False)
    leases: Occupancy = field(default_factory=Occupancy)
    live: Live = field(default_factory=Live)
    nodes: Nodes = field(default_factory=OneNode)
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    boards: NodeBoards = field(default_factory=NoBoards)
    mirrors: Mirrors = field(default_factory=NoMirrors)
    usage: Usage = field(default_factory=Usage)
    machines: Machines = field(default_factory=Machines)
    machine_links: MachineLinks = field(default_factory=NoMachineLinks)
    routing_table: RoutingTable = field(default_factory=RoutingTable)
    shares: Shares = field(default_factory=Shares)
    schedules: Schedules = field(default_factory=Schedules)
    deliveries: Deliveries = field(default_factory=Deliveries)
    secrets: Secrets = field(default_factory=Secrets)
    tool_servers: ToolServers = field(default_factory=NoToolServers)
    before_turn: BeforeTurn = do_nothing
    program_keys: ProgramKeys = field(default_factory=ProgramKeys)
    identities: Identities = field(default_factory=Identities)
    upkeep: Upkeep = field(default_factory=Upkeep)
    budgets: Budgets = field(init=False)
    notifications: Notifications = field(init=False)
    audit: Audit = field(init=False)
    configured_budgets: InitVar[Iterable[Budget]] = ()
    owner: InitVar[str] = ""
    given_key: bytes = b""
    unrecovered: set[str] = field(default_factory=set)
    closing: bool = False
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self, configured_budgets: Iterable[Budget], owner: str) -> None:
        self.notifier = Notifier(self.live.board_changed)
        self.requests_changed, self.notes_changed = Notifier(self.activity), Notifier(self.activity)
        self.broadcaster = Broadcaster(self.store)
        self.budgets = Budgets(self.usage, configured_budgets)
        self.notifications = Notifications(self.ids, self.secrets, owner)
        self.audit = Audit(self.store, self.background, self.ids, self.secrets, self.nodes.own)

    @asynccontextmanager
    async def exclusively(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of this name while the context is open."""
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            yield

    def require_open(self) -> None:
        """Check that the hub accepts commands.

        Raises:
            ShuttingDown: the hub is shutting down.
        """
        if self.closing:
            raise ShuttingDown

    async def owns(self, stream: str) -> bool:
        """Return whether this node, and no other, writes a session or a plan.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        return await self.nodes.owner(stream) == self.nodes.own

    def running_turns(self) -> Iterator[RunningTurn]:
        """Yield the turns that run in sessions and plans."""
        yield from (runner.current for runner in self.runners.values() if runner.current)
        for plan in self.plans.values():
            yield from plan.runs

    @property
    def running(self) -> int:
        """The number of running plans and of sessions with a turn that runs or waits."""
        return len(self.runners) + len(self.plans)
