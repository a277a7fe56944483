"""What clients send about forwards, terminals, routes, contexts and purposes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rhetor.domain.arrangement import MOST_HOPS, Hop
from rhetor.domain.arranging import PutForward, PutRoute, SendRoute

from .bodies import PLAIN, Body, Folder, Id, Sender

Purpose = Annotated[str, Field(max_length=4096)]
JsonMode = Annotated[bool, Field(alias="json")]


class ForwardBody(Body):
    """`to`: a peer or a terminal. `json`: as an object with who says it to whom, when and what for;
    `execute`: a wrapped program runs what it is sent."""

    to: Id
    as_json: JsonMode = False
    execute: bool = False

    def command(self, source: str) -> PutForward:
        return PutForward(source, self.to, self.as_json, self.execute)


class NewForwardBody(ForwardBody):
    source: Annotated[str, Field(alias="from", min_length=1, max_length=200, pattern=PLAIN)]


class TerminalBody(Body):
    """`seen`: a cursor of its stream; what comes before it was shown."""

    seen: Id | None = None


class HopBody(Body):
    """`ai`: a peer, `@capability`, `team:name` or `route:name`."""

    ai: Id
    purpose: Purpose = ""


class RouteBody(Body):
    hops: Annotated[list[HopBody], Field(min_length=1, max_length=MOST_HOPS)]

    def command(self, name: str, *, new: bool = False) -> PutRoute:
        return PutRoute(name, tuple(Hop(hop.ai, hop.purpose) for hop in self.hops), new)


class NewRouteBody(RouteBody):
    name: Id


class RouteMessageBody(Body):
    message: str
    command_id: Id | None = None
    from_: Sender = ""
    cwd: Folder | None = None

    def command(self, name: str, key: str | None) -> SendRoute:
        return SendRoute(name, self.message, key or self.command_id, self.from_, self.cwd)


class TextBody(Body):
    text: str
