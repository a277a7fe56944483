"""Forwards, named terminals, and routes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from rhetor.dialects.peer_socket import Id, Sender
from rhetor.domain.inbox import Tray
from rhetor.domain.rule_commands import PutAlias, PutForward, PutNote, PutRoute, SendRoute
from rhetor.domain.rules import MOST_HOPS, Hop
from rhetor.hub.plans.routes import NAME, VERBS

from .common import Body, Cursor, Folder, Purpose, Text

_NOT_A_VERB = {"pattern": f"^{NAME.pattern}$", "not": {"enum": sorted(VERBS)}}
RouteName = Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=_NOT_A_VERB)]


class ForwardBody(Body, frozen=True, kw_only=True):
    """A forward. `to`: a peer or a terminal. `json`: forward a JSON object with the text, its source, its
    destination, the time and the purpose. `execute`: a wrapped program executes the text."""

    to: Id
    as_json: bool = field(name="json", default=False)
    execute: bool = False

    def command(self, source: str) -> PutForward:
        return PutForward(source, self.to, self.as_json, self.execute)


class NewForwardBody(ForwardBody, frozen=True, kw_only=True):
    source: Id = field(name="from")


class TerminalBody(Body, frozen=True, kw_only=True):
    """A named shell. `seen`: the cursor of its stream up to which it has shown messages."""

    seen: Cursor | None = None


class HopBody(Body, frozen=True, kw_only=True):
    """A hop of a route. `ai`: a peer, `@capability`, `team:name` or `route:name`."""

    ai: Id
    purpose: Purpose = ""


class PurposeBody(Body, frozen=True, kw_only=True):
    """The purpose of a peer or a terminal. An empty text removes it."""

    text: str


class AliasBody(Body, frozen=True, kw_only=True):
    """A name for a line of the shell. `command`: the line, in which `$1`, `$*` and `$@` are the arguments."""

    command: Text
    description: Purpose = ""

    def command_for(self, name: str) -> PutAlias:
        return PutAlias(name, self.command, self.description)


class NoteBody(Body, frozen=True, kw_only=True):
    """A message for a tray. `from`: the sender as shown to readers; it grants no rights."""

    text: Text
    from_: Sender = field(name="from", default="")

    def command(self, to: str, tray: Tray) -> PutNote:
        return PutNote(to, tray, self.text, self.from_)


class RouteBody(Body, frozen=True, kw_only=True):
    hops: Annotated[list[HopBody], Meta(min_length=1, max_length=MOST_HOPS)]

    def command(self, name: str, *, new: bool = False) -> PutRoute:
        return PutRoute(name, tuple(Hop(hop.ai, hop.purpose) for hop in self.hops), new)


class NewRouteBody(RouteBody, frozen=True, kw_only=True):
    name: RouteName


class RouteMessageBody(Body, frozen=True, kw_only=True):
    message: Text
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")
    cwd: Folder | None = None

    def command(self, name: str, key: str | None) -> SendRoute:
        return SendRoute(name, self.message, key or self.command_id, self.from_, self.cwd)
