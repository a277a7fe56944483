"""What each node says of itself, as a row of the catalog, and what the other live nodes have said last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from rhetor.domain.event import Cause
from rhetor.domain.peer import Peer
from rhetor.domain.principal import agent_subject
from rhetor.domain.program import Exit, ProgramStatus
from rhetor.store.base import Row

from .pauses import Pause

KIND, CURRENT = "node_board", "current"
V = TypeVar("V")


class TurnNow(Struct, frozen=True):
    """A running turn. `caller`, `via`, `onward`: as in `OpenRequests`. `since`: Unix time in milliseconds.
    `doing`: what its peer does, or for what it waits."""

    turn_id: str
    stream: str
    owner: str
    caller: str
    peer: str
    since: int
    state: Literal["running", "waiting"]
    doing: str | None
    via: tuple[str, ...]
    onward: Cause


class ProgramNow(Struct, frozen=True):
    """A running program. `key`: as in `ProgramRow`. `details`, `scores`: what it reports."""

    key: str
    peer: str
    owner: str
    session_id: str
    pid: int
    status: ProgramStatus
    details: dict[str, Any] = {}
    scores: dict[str, float] = {}


class Departure(Struct, frozen=True):
    """That the last client at a node has left a stream of another one for good. `at`: when, as Unix time in
    milliseconds; later for each further one."""

    stream: str
    at: int


class Board(Struct, frozen=True):
    """What is only in the memory of one node, and what others show.

    `running`: how many plans run, and sessions with a turn. `plans`: the ids of those plans. `callers`: how
    many turns each caller has. `gone`: how and when a peer's last program ended; `ended`: the announced ones
    of those peers, with their owners. `machines`: those that are
    connected to the node, and since when. `terminals`, `sockets`: how many readers each has. `reads`: the
    running streams of other nodes that clients of this one read, by the node that owns them; and whether all
    of their readers need only a turn's end. `holds`: the sessions of other nodes that clients of this one
    keep open, by node. `left`: the streams of other nodes that have no reader at this one any more, and
    `dropped`: the sessions that no client of this one keeps open any more.
    """

    running: int = 0
    plans: tuple[str, ...] = ()
    turns: tuple[TurnNow, ...] = ()
    callers: dict[str, int] = {}
    programs: tuple[ProgramNow, ...] = ()
    pauses: tuple[Pause, ...] = ()
    gone: dict[str, tuple[Exit, int]] = {}
    ended: dict[str, tuple[Peer, str]] = {}
    machines: dict[str, int] = {}
    terminals: dict[str, int] = {}
    sockets: dict[str, int] = {}
    reads: dict[str, dict[str, bool]] = {}
    holds: dict[str, tuple[str, ...]] = {}
    left: tuple[Departure, ...] = ()
    dropped: tuple[Departure, ...] = ()

    @property
    def streams(self) -> set[str]:
        """The streams in which something runs."""
        return {*self.plans, *(turn.stream for turn in self.turns)}

    def row(self, node: str) -> Row:
        return Row(KIND, node, CURRENT, msgspec.json.encode(self))

    @classmethod
    def of(cls, row: Row) -> Board:
        return _decoder.decode(row.doc)


_decoder = msgspec.json.Decoder(Board)


class Elsewhere:
    """What the other live nodes have said last. It is empty if there are none.

    `turns`: by id. `sessions`: the running turn of each session. `programs`: those of each peer.
    """

    def __init__(self, boards: Mapping[str, Board] | None = None) -> None:
        self.boards = boards or {}
        every = self.boards.values()
        self.turns = {turn.turn_id: turn for board in every for turn in board.turns}
        self.sessions = {turn.stream: turn for turn in self.turns.values() if turn.stream.startswith("s_")}
        self.programs: dict[str, list[ProgramNow]] = {}
        self.gone: dict[str, tuple[Exit, int]] = {}
        self.machines: dict[str, int] = {}
        for board in every:
            for program in board.programs:
                self.programs.setdefault(program.peer, []).append(program)
            self.gone |= board.gone
            self.machines |= board.machines
        self.running = sum(board.running for board in every)
        self.has_plans = any(board.plans for board in every)
        self.pauses = [pause for board in every for pause in board.pauses]
        self._running_of = Counter(turn.peer for turn in self.turns.values())
        self._waiting_of = Counter(turn.peer for turn in self.turns.values() if turn.state == "waiting")
        self._turns_of = _summed(board.callers for board in every)
        self.terminals = _summed(board.terminals for board in every)
        self._sockets = _summed(board.sockets for board in every)
        self._owners: dict[str, set[str]] = {}
        for peer, programs in self.programs.items():
            self._owners[agent_subject(peer)] = {program.owner for program in programs}

    def __bool__(self) -> bool:
        """Return whether another node has said anything."""
        return bool(self.boards)

    @property
    def runs(self) -> tuple[object, ...]:
        """What runs, to be compared with what ran before."""
        return self.running, self.turns, self.programs, self.pauses, self.gone, self.machines

    def programs_of(self, peer: str) -> Sequence[ProgramNow]:
        return self.programs.get(peer, ())

    def owners_of(self, subject: str) -> Iterable[str]:
        """Return for whom the programs run that call the hub as `subject`."""
        return self._owners.get(subject, ())

    def running_of(self, peer: str) -> int:
        """Return how many turns of a peer run."""
        return self._running_of[peer]

    def waiting_of(self, peer: str) -> int:
        """Return how many turns of a peer wait for an answer."""
        return self._waiting_of[peer]

    def turns_of(self, caller: str) -> int:
        """Return how many turns a caller has."""
        return self._turns_of[caller]

    def terminal_readers(self, stream: str) -> int:
        return self.terminals[stream]

    def socket_readers(self, session_id: str) -> int:
        return self._sockets[session_id]


def different(before: Mapping[str, V], now: Mapping[str, V]) -> set[str]:
    """Return the keys whose values differ."""
    return {key for key in {*before, *now} if before.get(key) != now.get(key)}


def _summed(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total = Counter[str]()
    for each in counts:
        total.update(each)
    return total
