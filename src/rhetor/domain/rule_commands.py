"""What can be asked of the hub about forwards, terminals, routes, contexts and purposes."""

from __future__ import annotations

from msgspec import Struct

from .rules import Hop


class PutForward(Struct, frozen=True, gc=False):
    """One for a source; it takes the place of an earlier one. `execute`: a program runs what it is sent."""

    source: str
    to: str
    as_json: bool = False
    execute: bool = False


class RemoveForward(Struct, frozen=True, gc=False):
    source: str


class PutTerminal(Struct, frozen=True, gc=False):
    """Register a shell's name. `seen`: a cursor of its stream; what comes before it was shown."""

    name: str
    seen: str | None = None


class RemoveTerminal(Struct, frozen=True, gc=False):
    name: str


class PutRoute(Struct, frozen=True, gc=False):
    """With `new`, one that is there already is not replaced."""

    name: str
    hops: tuple[Hop, ...]
    new: bool = False


class RemoveRoute(Struct, frozen=True, gc=False):
    name: str


class SendRoute(Struct, frozen=True, gc=False):
    """Send `content` along a route. The rest is as of `SendMessage`."""

    name: str
    content: str
    command_id: str | None = None
    from_: str = ""
    cwd: str | None = None


class StageContext(Struct, frozen=True, gc=False):
    """Add a text to what is staged for a peer."""

    peer: str
    text: str


class PromoteContext(Struct, frozen=True, gc=False):
    """What is staged goes in front of the next message."""

    peer: str


class ClearContext(Struct, frozen=True, gc=False):
    peer: str


class PutPurpose(Struct, frozen=True, gc=False):
    """Of a peer or a terminal; empty for none."""

    name: str
    text: str


RuleCommand = (
    PutForward
    | RemoveForward
    | PutTerminal
    | RemoveTerminal
    | PutRoute
    | RemoveRoute
    | SendRoute
    | StageContext
    | PromoteContext
    | ClearContext
    | PutPurpose
)
