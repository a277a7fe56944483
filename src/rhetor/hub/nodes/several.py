"""The nodes of a shared database: which are live, whose each stream is, and what they ask of each other."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from time import monotonic
from typing import Any

from msgspec.structs import replace

from rhetor.domain.principal import Principal
from rhetor.errors import NodeLost, ShuttingDown
from rhetor.hub.core.nodes import LiveNode, at_home
from rhetor.hub.programs.instances import take_unshown
from rhetor.hub.sessions.send import Accepted
from rhetor.hub.state import State
from rhetor.hub.turns.attribution import at_other_nodes

from .codec import CommandCodec
from .homes import home_of
from .mailbox import Execute, Mailbox
from .runs import INTERNAL, RUNS

MOST_KNOWN = 50_000  # streams whose node is known
MACHINE = "machine:"
log = logging.getLogger(__name__)


class SeveralNodes:
    """The nodes of one database, as this one knows them.

    `own`: the name of this node, and `fence` the number of its lease. `owner_of` returns the name of the node
    that owns a stream; None if none does. `renewed` must be called at each renewal of the lease.

    `places`: the nodes of peers that only one node can reach, by the name of an announced program, or by
    `machine:NAME` for a machine that has joined.
    """

    def __init__(self, own: str, fence: int, owner_of: Callable[[str], Awaitable[str | None]]) -> None:
        self.own = own
        self._leads = False
        self._until = inf
        self.lead = ""
        self.live: Mapping[str, LiveNode] = {}
        self.places: dict[str, str] = {}
        self._fence = fence
        self._owner_of = owner_of
        self._known: dict[str, tuple[str, int]] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._state: State | None = None
        self._mailbox: Mailbox | None = None

    async def open(self, state: State, execute: Execute) -> None:
        """Execute the commands of other nodes from now on: those of clients by `execute`.

        Raises:
            StoreRefused: the database cannot be used now.
        """

        async def executed(principal: Principal, command: Any, api: str) -> Any:
            if (internal := INTERNAL.get(type(command))) is not None:
                return await internal(state, principal, command)
            result = await execute(principal, command, api)
            if isinstance(result, Accepted):
                result = replace(result, unshown=take_unshown(state, result.session_id, result.after))
            return result

        codec = CommandCodec(RUNS)
        self._state = state
        self._mailbox = Mailbox(state.store, self.own, self._fence, codec, state.background, executed)
        self._mailbox.lose(self.live)
        await self._mailbox.open()

    async def aclose(self) -> None:
        """Execute no more commands of other nodes."""
        if self._mailbox is not None:
            await self._mailbox.aclose()

    @property
    def leads(self) -> bool:
        return self._leads and monotonic() < self._until  # no longer than its lease

    def renewed(self, nodes: Sequence[LiveNode], leads: bool, until: float = inf) -> None:
        """Note which nodes are live, this one included, and whether it leads. `until`: when its lease ends if
        it is not renewed, by the clock `monotonic`."""
        self._until = until
        live = {node.name: node for node in nodes if node.name != self.own}
        lead = self.own if leads else min(nodes, key=lambda node: node.since).name if nodes else ""
        if (live, leads, lead) == (self.live, self._leads, self.lead):
            return
        came, went = live.keys() - self.live.keys(), self.live.keys() - live.keys()
        log.info("nodes changed", extra={"came": sorted(came), "went": sorted(went), "lead": lead})
        self.live, self._leads, self.lead = live, leads, lead
        if self._mailbox is not None:
            self._mailbox.lose(live)
        for callback in self._callbacks:
            callback()

    def taken_over(self) -> None:
        """Note that this node owns more streams than before. Call it when it has taken over another one."""
        for callback in self._callbacks:
            callback()

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def owner(self, stream: str) -> str:
        return await self.owner_if_any(stream) or self.own

    async def owner_if_any(self, stream: str) -> str | None:
        known = self._known.get(stream)
        if known is not None and known == self._life_of(known[0]):  # it moves only when its node is lost
            return known[0]
        node = await self._owner_of(stream)
        life = self._life_of(node) if node is not None else None
        if life is not None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[stream] = life
        return node

    def _life_of(self, node: str) -> tuple[str, int] | None:
        """Return a node with the number of its lease; None if it is not live."""
        if node == self.own:
            return node, self._fence
        return (node, self.live[node].fence) if node in self.live else None

    def of_peer(self, name: str) -> str:
        peers = self._state.peers if self._state is not None else None
        if peers is not None and (announced_at := peers.node_of(name)):
            return announced_at
        if node := self.places.get(name):
            return node
        if name.startswith(MACHINE):
            return self._of_machine(name.removeprefix(MACHINE))
        if peers is None or not peers.has_machines or not peers.has(name):
            return self.own
        return self._of_machine(peers.get(name).machine)

    def _of_machine(self, machine: str) -> str:
        """Return the node to which a machine is connected, or was last. If that is lost, each will do."""
        if node := self.places.get(f"{MACHINE}{machine}"):
            return node
        known = self._state.machines.find(machine) if self._state is not None and machine else None
        return known.node if known is not None and known.node in self.live else self.own

    async def execute(self, node: str, principal: Principal, command: Any, api: str = "") -> Any:
        if self._mailbox is None:
            raise ShuttingDown
        if node not in self.live:
            raise NodeLost(node)
        return await self._mailbox.send(self.live[node], principal, command, api)

    async def route(
        self, principal: Principal, command: Any, api: str, here: Callable[[], Awaitable[Any]]
    ) -> Any:
        state = self._state
        if state is None:  # nothing of another node is known yet
            return await here()
        return await at_home(
            self,
            lambda: home_of(state, principal, command),
            here,
            lambda node: self._there(state, node, at_other_nodes(state, principal), command, api),
        )

    async def _there(self, state: State, node: str, principal: Principal, command: Any, api: str) -> Any:
        result = await self.execute(node, principal, command, api)
        await state.mirrors.caught_up()  # the client may ask here at once for what it has changed
        return result
