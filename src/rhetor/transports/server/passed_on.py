"""Requests that belong to another node of the hub, as the gate and the router see them.

What passes them on is loaded only if there are several nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from rhetor.domain.principal import Principal

from .bodies import Receive, Scope, Send
from .placement import At

HEADER = "x-rhetor-passed-on"


class Admitted(Struct, frozen=True):
    """A request as the node has admitted it that passes it on. `to`: the node that it is for; `request`: what
    it asks for; `at`: Unix time in seconds; `client`: the address that it came from, None on the Unix socket;
    `agent`: the peer whose program has opened its connection; `is_console`: its host name is one at which
    browsers log in."""

    to: str
    request: str
    at: float
    principal: Principal | None
    agent: str | None
    client: tuple[str, int] | None
    is_console: bool


class Passing(Protocol):
    """Passes requests on to other nodes, and admits those that other nodes pass on to this one."""

    async def elsewhere(self, at: At, scope: Scope, names: Mapping[str, str]) -> str | None:
        """Return the other node that must answer a request, as `at` says; None if this one does. A request
        that was passed on is answered here, whatever it is about."""
        ...

    async def pass_on(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the node of this name answer a request.

        Raises:
            NodeLost: it was lost before its response began.
            CallerGone: the client has gone.
            TooManyConnections: the caller has too many.
        """
        ...

    async def admitted(self, scope: Scope, sealed: str) -> Admitted:
        """Return a request that another node has passed on, as that has admitted it.

        Raises:
            Forbidden: no node of this hub has passed it on to this one, or their clocks differ too much.
        """
        ...
