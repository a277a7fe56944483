"""One request as its handler sees it, and JSON responses."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from rhetor.codec.typed_json import unprocessable
from rhetor.domain.command import Command
from rhetor.domain.principal import Principal
from rhetor.hub.core.audit import Action
from rhetor.hub.hub import Hub

from .counters import REST
from .node import Node

MOST_KEY = 200


class Viewer(Protocol):
    """Who reads from the hub, through whichever API."""

    @property
    def who(self) -> Principal: ...

    @property
    def node(self) -> Node: ...

    @property
    def hub(self) -> Hub: ...


class Caller(Viewer, Protocol):
    """Who asks the hub for something, through whichever API."""

    async def execute(self, command: Command) -> Any:
        """Do the same as `Hub.execute`, for the caller."""
        ...


class Call(Request):
    """A request that the gate has admitted. `who`: the caller; on a public route it may be None. `acting`:
    the action that its handler executes, for the audit."""

    acting: Action

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.who: Principal = scope["state"]["principal"]
        self.node: Node = scope["state"]["node"]

    @property
    def hub(self) -> Hub:
        return self.node.hub

    @property
    def key(self) -> str | None:
        """The Idempotency-Key header; None if there is none.

        Raises:
            Unprocessable: the key is empty, or longer than 200 characters.
        """
        key = self.headers.get("idempotency-key")
        if key is not None and not 1 <= len(key) <= MOST_KEY:
            raise unprocessable("header.Idempotency-Key", f"must have 1 to {MOST_KEY} characters")
        return key

    @property
    def last_event_id(self) -> str | None:
        return self.headers.get("last-event-id")

    @property
    def accepts_events(self) -> bool:
        """Whether the client asks for an event stream."""
        return "text/event-stream" in self.headers.get("accept", "")

    @property
    def prefers_not_to_wait(self) -> bool:
        """Whether the client wants a response at once, before the answer is complete (RFC 7240, 4.1)."""
        return "respond-async" in self.headers.get("prefer", "")

    async def execute(self, command: Command) -> Any:
        """Do the same as `Hub.execute`, for the caller."""
        return await self.hub.execute(self.who, command, REST)


def json_response(content: Any, headers: dict[str, str] | None = None, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
