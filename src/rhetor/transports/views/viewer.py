"""Who sees something, through whichever API."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from rhetor.domain.principal import Principal
from rhetor.hub.hub import Hub
from rhetor.transports.server.node import Node


class Viewer(Protocol):
    """A caller that reads from the hub."""

    @property
    def who(self) -> Principal: ...

    @property
    def node(self) -> Node: ...

    @property
    def hub(self) -> Hub: ...


class Watcher(Struct, frozen=True):
    """A viewer that outlives a connection. `who`: without an address and a credential, because all
    connections of a caller see the same."""

    who: Principal
    node: Node

    @classmethod
    def of(cls, viewer: Viewer) -> Watcher:
        who = viewer.who
        return cls(Principal(who.subject, who.scopes, who.local), viewer.node)

    @property
    def hub(self) -> Hub:
        return self.node.hub
