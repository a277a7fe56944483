"""The nodes of one shared database, as the use cases of a hub see them. A hub on its own is the only node.

Each node is a whole hub. It *owns* the sessions and plans that were begun at it, and the programs of its
machine. One live node *leads*: it does what only one may do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from rhetor.domain.principal import Principal
from rhetor.errors import ShuttingDown, StreamElsewhere
from rhetor.store.base import Place, Row

ATTEMPTS = 5  # to find the node of a stream while it moves to another one
PAUSE = 0.1  # seconds, which grow with each attempt
LONGEST_WAIT = 15.0  # seconds, for another node to take over what a lost one owned
LOOK_SECONDS = 0.25  # between looks for it
T = TypeVar("T")


class LiveNode(Struct, frozen=True, gc=False):
    """Another node whose lease has not ended.

    `address`: where it accepts connections, as `HOST:PORT`. `fence`: the number of its lease, which is a
    higher one after each of its starts. `since`: when it took the lease, Unix time in milliseconds by the
    database's clock.
    """

    name: str
    address: str
    fence: int
    since: int


class NodeStops(ShuttingDown):
    """Another node shuts down, or has shut down, and has not executed the command. `fence`: of the node."""

    def __init__(self, fence: int) -> None:
        super().__init__()
        self.fence = fence


class Nodes(Protocol):
    """The nodes of one database. `own`: the name of this one; empty if there is only one and never another.
    `leads`: this node does what only one may do. `live`: the other live nodes, by name."""

    @property
    def own(self) -> str: ...

    @property
    def leads(self) -> bool: ...

    @property
    def live(self) -> Mapping[str, LiveNode]: ...

    @property
    def lead(self) -> str:
        """The name of the node that leads."""
        ...

    async def owner(self, stream: str) -> str:
        """Return the node that owns a session or a plan; `own` if no node owns it yet.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        ...

    async def owner_if_any(self, stream: str) -> str | None:
        """Return the node that owns a session or a plan; None if there is none.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        ...

    def of_peer(self, name: str) -> str:
        """Return the node of an announced program, a terminal or a machine that joined; `own` for all other
        peers, which each node can reach."""
        ...

    async def execute(self, node: str, principal: Principal, command: Any, api: str = "") -> Any:
        """Execute a command at another node, and return its use case's result.

        Raises:
            NodeLost: the node was lost before it answered; whether it executed the command is not known.
            RhetorError: the node rejected the command, with the error that a caller at that node would get.
        """
        ...

    async def route(
        self, principal: Principal, command: Any, api: str, here: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Execute a client's command at the node that it belongs to: by `here` if that is this one.

        Raises:
            NodeLost, RhetorError: as `execute`.
        """
        ...

    async def open(self, state: Any, execute: Callable[[Principal, Any, str], Awaitable[Any]]) -> None:
        """Execute what other nodes ask for, from now on. `execute` executes a client's command."""
        ...

    async def aclose(self) -> None:
        """Execute nothing more that other nodes ask for."""
        ...

    def taken_over(self) -> None:
        """Note that this node owns more streams than before."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever nodes came or went, or another node leads."""
        ...


class Mirrors(Protocol):
    """Copies in this node's memory of rows that other nodes change. They are usually up to date within
    milliseconds."""

    async def fetch(self, places: Sequence[Place]) -> None:
        """Use these rows as they are stored now.

        Raises:
            StoreRefused: the database cannot be read now.
        """
        ...

    async def caught_up(self) -> None:
        """Wait until everything is applied that was heard so far, but at most a second."""
        ...

    def listen(self, kind: str, listener: Callable[[str, Row | None], None]) -> None:
        """Call `listener` with the id of each row of this kind that another node writes, and with the row;
        None if it was dropped. There is one for each kind."""
        ...

    def noting(self) -> AbstractContextManager[set[Place]]:
        """Return a context of a set to which the rows are added that this node changes meanwhile."""
        ...


class NoMirrors:
    """The mirrors of a hub that shares its database with no other."""

    async def fetch(self, places: Sequence[Place]) -> None: ...

    async def caught_up(self) -> None: ...

    def listen(self, kind: str, listener: Callable[[str, Row | None], None]) -> None: ...

    def noting(self) -> AbstractContextManager[set[Place]]:
        return nullcontext(set())


class OneNode:
    """The nodes of a hub that shares its database with no other."""

    own = ""
    lead = ""
    leads = True
    live: Mapping[str, LiveNode] = {}

    async def owner(self, stream: str) -> str:
        return ""

    async def owner_if_any(self, stream: str) -> str | None:
        return ""

    def of_peer(self, name: str) -> str:
        return ""

    async def execute(self, node: str, principal: Principal, command: Any, api: str = "") -> Any:
        raise NotImplementedError("there is no other node")

    async def route(
        self, principal: Principal, command: Any, api: str, here: Callable[[], Awaitable[Any]]
    ) -> Any:
        return await here()

    async def open(self, state: Any, execute: Callable[[Principal, Any, str], Awaitable[Any]]) -> None: ...

    async def aclose(self) -> None: ...

    def taken_over(self) -> None: ...

    def on_change(self, callback: Callable[[], None]) -> None: ...


async def at_home(
    nodes: Nodes,
    home: Callable[[], Awaitable[str]],
    here: Callable[[], Awaitable[T]],
    there: Callable[[str], Awaitable[T]],
) -> T:
    """Return the result of `here()` if `home()` returns this node, otherwise that of `there(node)`.

    If the stream turns out to belong to another node, nothing was changed, and that node is tried. If the
    node shuts down or is not live, wait until another one has taken over, or it has started again.

    Raises:
        StreamElsewhere: the stream has moved `ATTEMPTS` times.
    """
    node = await _live(nodes, home)
    for attempt in range(1, ATTEMPTS):
        try:
            return await (here() if node == nodes.own else there(node))
        except NodeStops as stops:
            await _until_gone(nodes, node, stops.fence)
            node = await _live(nodes, home)
        except StreamElsewhere as error:
            await asyncio.sleep(PAUSE * (attempt - 1))
            node = error.data["node"]
            if not is_live(nodes, node):
                node = await _live(nodes, home)
    return await (here() if node == nodes.own else there(node))


async def is_own(nodes: Nodes, stream: str) -> bool:
    """Return whether this node may write a session or a plan: it owns it, or there is none yet."""
    return not nodes.own or await nodes.owner(stream) == nodes.own


def is_live(nodes: Nodes, node: str) -> bool:
    """Return whether a node can execute commands, as far as this one knows."""
    return node == nodes.own or node in nodes.live


async def _until_gone(nodes: Nodes, node: str, fence: int) -> None:
    """Wait until a node is no longer live, or was started again, but at most `LONGEST_WAIT` seconds."""
    ends = asyncio.get_running_loop().time() + LONGEST_WAIT
    while asyncio.get_running_loop().time() < ends:
        now = nodes.live.get(node)
        if now is None or now.fence != fence:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _live(nodes: Nodes, home: Callable[[], Awaitable[str]]) -> str:
    """Return the node of `home()`, when it is live; after `LONGEST_WAIT` seconds, return it anyway."""
    node, loop = await home(), asyncio.get_running_loop()
    ends = loop.time() + LONGEST_WAIT
    while not is_live(nodes, node) and loop.time() < ends:
        await asyncio.sleep(LOOK_SECONDS)
        node = await home()
    return node
