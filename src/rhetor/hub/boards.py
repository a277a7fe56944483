"""What is only in the memory of one node, and what others show: each node writes it into its row when it
changes, and reads the rows of the others.

Nothing is written while there is no other node. The row of a node whose lease has ended does not count.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from rhetor.domain.machine import MACHINE
from rhetor.errors import RhetorError
from rhetor.store.base import Row

from .catalog.boards import KIND, Board, Departure, Elsewhere, different
from .fanout.presence import RemoteReader
from .forwarding.terminals import note_readers, read_here
from .programs import adoption
from .programs.now import program_now, turn_now
from .sessions import leases
from .turns.caller_limits import turns_by_caller

if TYPE_CHECKING:
    from .state import State

LEAST_SECONDS = 0.25  # between two writings of the row
GATHER_SECONDS = 0.01  # what changes within this time is written together
RETRY_SECONDS = 1.0
REST = 20  # times the time that a writing took, none other is made
MOST_DEPARTURES = 1_000  # that a row has
MOST_OWNERS = 100_000  # of streams, that are remembered
log = logging.getLogger(__name__)


class Boards:
    """The row of this node, and the rows of the others. `follow` must run as long as the hub does."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._boards: dict[str, Board] = {}
        self._seen: dict[str, int] = {}
        self._written: Row | None = None
        self._owners: dict[str, str] = {}
        self._left: list[Departure] = []
        self._dropped: list[Departure] = []
        self._holds = leases.Holds(state)
        state.nodes.on_change(self._nodes_changed)

    async def open(self) -> None:
        """Remove what an earlier hub of this node has written, and read the rows of the others.

        Raises:
            StoreRefused: the store cannot be used now.
        """
        own = self._state.nodes.own
        await self._state.store.commit(_stream(own), [], drop=[(KIND, own)])
        await self.refresh()

    async def refresh(self) -> None:
        """Read the rows of all other nodes.

        Raises:
            StoreRefused: they cannot be read now.
        """
        rows = await self._state.store.find(KIND)
        self._boards = {row.id: Board.of(row) for row in rows if row.id != self._state.nodes.own}
        self._take()

    def apply(self, id: str, row: Row | None) -> None:
        """Take over the row of another node, or note that it was removed."""
        if row is None:
            self._boards.pop(id, None)
        elif id != self._state.nodes.own:
            self._boards[id] = Board.of(row)
        self._take()

    def note_left(self, stream: str) -> None:
        """Tell the owner of a stream that its last reader at this node has left for good."""
        self._note(self._left, stream)

    def note_dropped(self, session_id: str) -> None:
        """Tell the owner of a session that the last client at this node that kept it open has left for
        good."""
        self._note(self._dropped, session_id)

    def _note(self, departures: list[Departure], stream: str) -> None:
        now = self._state.ids.now()
        departures.append(Departure(stream, max(now, departures[-1].at + 1) if departures else now))
        del departures[:-MOST_DEPARTURES]
        self._state.live.board_changed.notify()

    # what this node says

    async def follow(self) -> None:
        """Write the row of this node whenever it has changed, as long as there are other nodes."""
        pause = 0.0
        while True:
            changed = self._state.live.board_changed.next()
            if self._state.nodes.live:
                pause = await self._write_changed()
            await asyncio.sleep(pause)
            await changed.wait()
            await asyncio.sleep(GATHER_SECONDS)

    async def flush(self) -> None:
        """Write the row of this node now, if it has changed and there are other nodes."""
        if self._state.nodes.live:
            await self._write_changed()

    async def _write_changed(self) -> float:
        """Write the row if it has changed, and return the seconds until the next time."""
        began, own = monotonic(), self._state.nodes.own
        try:
            row = (await self._board()).row(own)
            if row != self._written:
                await self._state.store.commit(_stream(own), [], rows=[row])
                self._written = row
        except RhetorError as error:
            log.warning("writing this node's board failed; retrying", extra={"reason": error.detail})
            self._write_later()
            return RETRY_SECONDS
        return max(LEAST_SECONDS, REST * (monotonic() - began))

    def _write_later(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._state.live.board_changed.notify)

    async def _board(self) -> Board:
        state = self._state
        self._left, self._dropped = await self._of_others(self._left), await self._of_others(self._dropped)
        return Board(
            state.running,
            tuple(state.plans),
            tuple(map(turn_now, state.pending.values())),
            dict(turns_by_caller(state)),
            tuple(program_now(state, each) for each in state.instances.values()),
            tuple(state.pauses.values()),
            dict(state.gone),
            adoption.ended_here(state),
            state.machines.here,
            read_here(state),
            state.read_marks.read,
            self._reads(),
            await self._held(),
            tuple(self._left),
            tuple(self._dropped),
        )

    def _reads(self) -> dict[str, dict[str, bool]]:
        presence = self._state.presence
        found: dict[str, dict[str, bool]] = {}
        for node, board in self._state.elsewhere.boards.items():
            if read := sorted(stream for stream in board.streams if presence.readers(stream)):
                found[node] = {stream: not presence.wants_each_event(stream) for stream in read}
        return found

    async def _held(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for session_id in sorted(self._state.leases.keys):
            if (owner := await self._owner(session_id)) != self._state.nodes.own:
                found.setdefault(owner, []).append(session_id)
        return {node: tuple(ids) for node, ids in found.items()}

    async def _of_others(self, departures: Sequence[Departure]) -> list[Departure]:
        own = self._state.nodes.own
        return [each for each in departures if await self._owner(each.stream) != own]

    async def _owner(self, stream: str) -> str:
        if (known := self._owners.get(stream)) is not None:
            return known
        nodes = self._state.nodes
        if (owner := await nodes.owner(stream)) in (nodes.own, *nodes.live):
            if len(self._owners) >= MOST_OWNERS:
                self._owners.clear()
            self._owners[stream] = owner
        else:  # another node takes the stream over soon, and must be told
            self._write_later()
        return owner

    # what the others say

    def _nodes_changed(self) -> None:
        self._owners.clear()
        self._take()
        self._state.live.board_changed.notify()

    def _take(self) -> None:
        """Let the hub know what the other live nodes have said."""
        state = self._state
        live = {node: board for node, board in self._boards.items() if node in state.nodes.live}
        before, state.elsewhere = state.elsewhere, Elsewhere(live)
        if before.boards == live:
            return
        state.machines.elsewhere = state.elsewhere.machines
        adoption.mirror_ended(state)
        own = state.nodes.own
        reads = (
            RemoteReader(node, stream, only_end)
            for node, board in live.items()
            for stream, only_end in board.reads.get(own, {}).items()
        )
        holds = {(node, id) for node, board in live.items() for id in board.holds.get(own, ())}
        left, dropped = self._departures(live)
        state.presence.set_remote(frozenset(reads), left)
        self._holds.set(frozenset(holds), dropped)
        self._tell(before)

    def _departures(self, live: Mapping[str, Board]) -> tuple[set[str], set[str]]:
        """Return the streams that others have left, and the sessions that others do not keep open any more,
        each for good and since the last call."""
        left: set[str] = set()
        dropped: set[str] = set()
        for node, board in live.items():
            last = self._seen.get(node, math.inf)  # those from before this node began are not new
            left.update(each.stream for each in board.left if each.at > last)
            dropped.update(each.stream for each in board.dropped if each.at > last)
            self._seen[node] = max([each.at for each in (*board.left, *board.dropped)], default=0)
        return left, dropped

    def _tell(self, before: Elsewhere) -> None:
        """Wake those who watch what has changed since `before`."""
        state, now = self._state, self._state.elsewhere
        for id in different(before.turns, now.turns):
            for turn in (before.turns.get(id), now.turns.get(id)):
                if turn is not None:
                    state.live.turn_changed(turn.stream, turn.peer)
        peers = {*different(before.programs, now.programs), *different(before.gone, now.gone)}
        if before.pauses != now.pauses:
            peers |= {pause.peer for pause in (*before.pauses, *now.pauses)}
        machines = different(before.machines, now.machines)
        peers |= {peer.name for peer in state.peers if peer.machine in machines}
        state.live.peer_changed(*sorted(peers), *(MACHINE + name for name in sorted(machines)))
        for stream in different(before.terminals, now.terminals):
            note_readers(state, stream)
        if before.gone != now.gone:
            state.live.sessions.note_all()  # those with an announced peer are shown as stopped
        if before.runs != now.runs:  # more has changed than the readers
            state.notifier.notify()
        if before.turns.keys() != now.turns.keys():
            state.activity.notify()


def _stream(node: str) -> str:
    """Return the stream whose commits write the row of a node. It never has an event."""
    return f"board:{node}"
