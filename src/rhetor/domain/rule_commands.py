"""What can be asked of the hub about forwards, terminals, routes, contexts and purposes."""

from __future__ import annotations

from dataclasses import dataclass

from .rules import Hop


@dataclass(frozen=True, slots=True)
class PutForward:
    """One for a source; it takes the place of an earlier one. `execute`: a program runs what it is sent."""

    source: str
    to: str
    as_json: bool = False
    execute: bool = False


@dataclass(frozen=True, slots=True)
class RemoveForward:
    source: str


@dataclass(frozen=True, slots=True)
class PutTerminal:
    """Register a shell's name. `seen`: a cursor of its stream; what comes before it was shown."""

    name: str
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class RemoveTerminal:
    name: str


@dataclass(frozen=True, slots=True)
class PutRoute:
    """With `new`, one that is there already is not replaced."""

    name: str
    hops: tuple[Hop, ...]
    new: bool = False


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    name: str


@dataclass(frozen=True, slots=True)
class SendRoute:
    """Send `content` along a route. The rest is as of `SendMessage`."""

    name: str
    content: str
    command_id: str | None = None
    from_: str = ""
    cwd: str | None = None


@dataclass(frozen=True, slots=True)
class StageContext:
    """Add a text to what is staged for a peer."""

    peer: str
    text: str


@dataclass(frozen=True, slots=True)
class PromoteContext:
    """What is staged goes in front of the next message."""

    peer: str


@dataclass(frozen=True, slots=True)
class ClearContext:
    peer: str


@dataclass(frozen=True, slots=True)
class PutPurpose:
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
