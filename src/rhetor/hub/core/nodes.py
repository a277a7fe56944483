"""The nodes of one shared database, as the use cases of a hub see them. A hub on its own is the only node.

Each node is a whole hub. It *owns* the sessions and plans that were begun at it, and the programs of its
machine. One live node *leads*: it does what only one may do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from rhetor.domain.principal import Principal


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

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever nodes came or went, or another node leads."""
        ...


class OneNode:
    """The nodes of a hub that shares its database with no other."""

    own = ""
    lead = ""
    leads = True
    live: Mapping[str, LiveNode] = {}

    async def owner(self, stream: str) -> str:
        return ""

    def of_peer(self, name: str) -> str:
        return ""

    async def execute(self, node: str, principal: Principal, command: Any, api: str = "") -> Any:
        raise NotImplementedError("there is no other node")

    def on_change(self, callback: Callable[[], None]) -> None: ...
