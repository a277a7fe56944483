"""This node among those that share a database: it keeps its lease, and takes over lost nodes as the lead."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhetor.background import start, stop
from rhetor.errors import FenceLost, StoreRefused
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.core.nodes import LiveNode
from rhetor.hub.machines import joining
from rhetor.hub.nodes.several import SeveralNodes
from rhetor.hub.recovery import take_over
from rhetor.hub.schedules import scheduler
from rhetor.store.postgres.leases import Leases, Renewed, TakenOver

if TYPE_CHECKING:
    from rhetor.hub.state import State

RENEWALS = 6  # attempts to renew the lease before it ends
AGAIN_SECONDS = 0.5  # after a failed one
ID = "node"
EVERY_ADDRESS = ("0.0.0.0", "::", "")
log = logging.getLogger(__name__)


def node_name(home: Path) -> str:
    """Return the name of this node: the machine's, and an id that is made once for its state folder."""
    file = home / ID
    try:
        own = file.read_text().strip()
    except FileNotFoundError:
        own = secrets.token_hex(4)
        file.write_text(f"{own}\n")
    return f"{socket.gethostname()}-{own}"


def own_address(host: str, listener: socket.socket, configured: str | None) -> str:
    """Return where other nodes reach this one, as `HOST:PORT`. `host`: on which it listens. `configured`: the
    setting `hub.node_address`."""
    if configured is not None:
        return configured
    name = socket.gethostname() if host in EVERY_ADDRESS else host
    return f"[{name}]:{port_of(listener)}" if ":" in name else f"{name}:{port_of(listener)}"


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@asynccontextmanager
async def membership(leases: Leases) -> AsyncIterator[Membership]:
    """Take the lease of this node, and keep it while the block runs. `leases.lost` is set when another node
    has taken over.

    Raises:
        StoreRefused: the database cannot be used at the beginning.
    """
    member = Membership(leases)
    try:
        await member.begin()
        keeping = start(member.keep(), "lease")
        try:
            yield member
        finally:
            await stop(keeping)
            await member.end()
    finally:
        await leases.aclose()


class Membership:
    """The place of this node among the others.

    `keeps_lease`: at the end, the lease is not given up, so that a start within it adopts the programs that
    still run.
    """

    def __init__(self, leases: Leases) -> None:
        self.leases = leases
        self.keeps_lease = False
        self._renewed = Renewed(leads=False, nodes=())
        self._nodes: SeveralNodes | None = None
        self._state: State | None = None
        self._taking_over: asyncio.Task[None] | None = None

    def nodes(self, owner_of: Callable[[str], Awaitable[str | None]]) -> SeveralNodes:
        """Return the nodes as the hub sees them. `owner_of` returns the name of the owner of a stream."""
        assert self.leases.fence is not None
        self._nodes = SeveralNodes(self.leases.name, self.leases.fence.number, owner_of)
        self._note(self._renewed)
        return self._nodes

    def opened(self, state: State) -> None:
        """Take over lost nodes from now on, whenever this node is the lead."""
        self._state = state

    async def begin(self) -> None:
        """Take the lease, and what nobody owns. The hub, which is opened next, recovers it as its own.

        Raises:
            StoreRefused: the database cannot be used.
        """
        self._note(await self.leases.take())
        await self.leases.claim()

    async def keep(self) -> None:
        """Renew the lease until another node has taken over."""
        while True:
            pause = self.leases.seconds / RENEWALS
            try:
                self._note(await self.leases.renew())
            except FenceLost:
                log.error("another node has taken over", extra={"node": self.leases.name})
                return
            except StoreRefused as error:
                log.warning("renewing the lease failed", extra={"reason": error.detail})
                pause = AGAIN_SECONDS
            if self._renewed.ended and self._state is not None and self._is_free:
                self._taking_over = start(self._take_over(self._state), "take-over")
            await asyncio.sleep(pause)

    async def end(self) -> None:
        """Give the lease up, unless programs of this node still run."""
        if self._taking_over is not None:
            await stop(self._taking_over)
        if not self.keeps_lease:
            with suppress(StoreRefused):  # it ends by itself
                await self.leases.release()

    async def described(self) -> list[dict[str, Any]]:
        """Return the nodes, the live ones first."""
        lead = self._nodes.lead if self._nodes is not None else ""
        return [
            {
                "name": node.name,
                "address": node.address,
                "live": node.seconds > 0,
                "leads": node.seconds > 0 and node.name == lead,
                "own": node.name == self.leases.name,
                "sessions": node.streams,
                "refused_writes": node.refused,
            }
            for node in await self.leases.nodes()
        ]

    @property
    def _is_free(self) -> bool:
        return self._taking_over is None or self._taking_over.done()

    def _note(self, renewed: Renewed) -> None:
        self._renewed = renewed
        if self._nodes is not None:
            live = [LiveNode(each.name, each.address, each.fence, each.since) for each in renewed.nodes]
            self._nodes.renewed(live, renewed.leads, self.leases.ends)

    async def _take_over(self, state: State) -> None:
        """Take over the nodes whose leases have ended; what fails is tried again after the next renewal."""
        try:
            found = await self.leases.take_over(state.unrecovered.update)
            for taken in found:
                await _recover(state, taken)
            self._note(await self.leases.renew())
        except (StoreRefused, FenceLost) as error:
            log.warning("taking over failed", extra={"reason": error.detail})


async def _recover(state: State, taken: TakenOver) -> None:
    try:
        await until_accepted(lambda: joining.take_over(state, taken.name), taken.name)
        await take_over(state, taken.name, taken.streams)
        await scheduler.taken_over(state, taken.streams)
    finally:  # whatever is left unfinished, its session can be used
        state.unrecovered.difference_update(taken.streams)
