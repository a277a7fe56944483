"""A peer: one named, addressable AI."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from .permission import Rules
from .program import Program


class PeerKind(StrEnum):
    SPECIALIST = "specialist"
    TOOL = "tool"
    TERMINAL = "terminal"
    PROJECT = "project"
    TEAM = "team"
    HUB = "hub"


@dataclass(frozen=True, slots=True)
class Capability:
    """`score`: 0 to 1. `origin` measured: from what the log shows; declared: from the configuration."""

    name: str
    score: float
    primary: bool = False
    origin: Literal["declared", "measured"] = "declared"


@dataclass(frozen=True, slots=True)
class Peer:
    """`model`: None where the peer is no model; `auto` or `provider/model` otherwise. `mcp_servers`: names
    of those whose tools it has. `program`: of a peer that is one. `display_name`: how it is shown.
    `permissions`: what is answered for its user."""

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

    @property
    def title(self) -> str:
        """How the peer is shown in attributions: `apollo` as `Apollo`."""
        return self.display_name or self.name[:1].upper() + self.name[1:]

    def capability(self, name: str) -> Capability | None:
        return next((c for c in self.capabilities if c.name == name), None)


def canonical_name(name: str) -> str:
    """`apollo-ai` and `apollo-ci` are names that older clients use for `apollo`."""
    for suffix in ("-ai", "-ci"):
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name
