"""A peer: one named, addressable AI."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from .permission import Rules
from .program import Program

PLAIN = frozenset({"stdio", "terminal"})  # drivers of programs that are no agents


class PeerKind(StrEnum):
    SPECIALIST = "specialist"
    TOOL = "tool"
    TERMINAL = "terminal"
    PROJECT = "project"
    TEAM = "team"
    HUB = "hub"


class Capability(Struct, frozen=True, gc=False):
    """`score`: 0 to 1. `origin`: declared by the configuration, reported by the peer's own program, or
    measured by what the log shows."""

    name: str
    score: float
    primary: bool = False
    origin: Literal["declared", "reported", "measured"] = "declared"


class Peer(Struct, frozen=True, gc=False):
    """`model`: None where the peer is no model; `auto` or `provider/model` otherwise. `mcp_servers`: names
    of those whose tools it has. `program`: of a peer that is one. `display_name`: how it is shown.
    `permissions`: what is answered for its user. `streams`: whether an answer comes as it is said, else in
    whole messages."""

    name: str
    kind: PeerKind
    driver: str
    description: str = ""
    role: str = ""
    prompt: str = ""
    model: str | None = None
    capabilities: tuple[Capability, ...] = field(default=())
    mcp_servers: tuple[str, ...] = ()
    program: Program | None = None
    display_name: str = ""
    permissions: Rules = field(default_factory=Rules)
    streams: bool = True

    @property
    def title(self) -> str:
        """How the peer is shown in attributions: `apollo` as `Apollo`."""
        return self.display_name or self.name[:1].upper() + self.name[1:]

    def reporting(self, said: Mapping[str, float]) -> Peer:
        """The peer as its program says it is: a score that it reports counts before the configured one."""
        own = {c.name: c for c in self.capabilities}
        told = {n: Capability(n, s, n in own and own[n].primary, "reported") for n, s in said.items()}
        return replace(self, capabilities=tuple((own | told).values())) if said else self

    @property
    def reads_plain(self) -> bool:
        """Whether it is a program that takes what it is sent as it is: a fence around it would be part of its
        input. A coding agent reads what it is told, as a model does."""
        return self.program is not None and self.program.protocol == "text" and self.driver in PLAIN

    @property
    def takes_envelopes(self) -> bool:
        """Whether it is told of context apart from the message."""
        return self.program is not None and self.program.protocol == "aish-json" and self.driver in PLAIN

    def capability(self, name: str) -> Capability | None:
        return next((c for c in self.capabilities if c.name == name), None)


def canonical_name(name: str) -> str:
    """`apollo-ai` and `apollo-ci` are names that older clients use for `apollo`."""
    for suffix in ("-ai", "-ci"):
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name
