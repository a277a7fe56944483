"""A peer: one named, addressable AI."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from .permission import Rules
from .program import Program

PLAIN = frozenset({"stdio", "terminal"})  # drivers of programs that are not agents


class PeerKind(StrEnum):
    """The kinds of peers."""

    SPECIALIST = "specialist"
    TOOL = "tool"
    TERMINAL = "terminal"
    PROJECT = "project"
    TEAM = "team"
    HUB = "hub"
    MACHINE = "machine"


class Capability(Struct, frozen=True, gc=False):
    """A task that a peer can do. `score`: how well, from 0 to 1.

    `origin`: `declared` in the configuration, `reported` by the peer's program, or `measured` from the log.
    """

    name: str
    score: float
    primary: bool = False
    origin: Literal["declared", "reported", "measured"] = "declared"


class Peer(Struct, frozen=True, gc=False):
    """One addressable AI, as configured or announced.

    `model`: `auto` or `provider/model`; None if the peer is a program. `mcp_servers`: the names of the MCP
    servers whose tools it has. `program`: set if the peer is a program. `display_name`: how it is shown.
    `permissions`: rules that answer its permission requests. `streams`: whether answers arrive piece by piece
    or as whole messages. `on_pause`: what follows if its usage limit is reached; empty for the hub's setting.
    `machine`: on which its program runs; empty if it is the hub's own.
    """

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
    on_pause: str = ""
    machine: str = ""

    @property
    def title(self) -> str:
        """The name as shown in attributions: `Apollo` for `apollo`."""
        return self.display_name or self.name[:1].upper() + self.name[1:]

    def reporting(self, said: Mapping[str, float]) -> Peer:
        """Return the peer with the scores that its program reports, which replace the configured ones."""
        own = {c.name: c for c in self.capabilities}
        told = {n: Capability(n, s, n in own and own[n].primary, "reported") for n, s in said.items()}
        return replace(self, capabilities=tuple((own | told).values())) if said else self

    @property
    def reads_plain(self) -> bool:
        """Whether the peer is a program that reads its input literally.

        A fence around a message would become part of its input. Coding agents read text as models do.
        """
        return self.program is not None and self.program.protocol == "text" and self.driver in PLAIN

    @property
    def remembers(self) -> bool:
        """Whether the peer is a coding agent, which remembers its conversation."""
        return self.program is not None and self.driver not in PLAIN

    @property
    def outlives_waiting(self) -> bool:
        """Whether the peer is a wrapped program, which continues a turn for which nobody waits any more."""
        return self.program is not None and self.driver in PLAIN

    @property
    def spends(self) -> bool:
        """Whether the peer's answers take tokens that it reports: it is a model or a coding agent."""
        return self.driver not in PLAIN and self.kind not in (PeerKind.TEAM, PeerKind.HUB)

    @property
    def has_voice(self) -> bool:
        """Whether a message can set the model and the prompt: the peer is a specialist."""
        return self.program is None and self.kind not in (PeerKind.TEAM, PeerKind.HUB)

    @property
    def takes_envelopes(self) -> bool:
        """Whether context is sent to the peer separately from the message."""
        return self.program is not None and self.program.protocol == "aish-json" and self.driver in PLAIN

    def capability(self, name: str) -> Capability | None:
        """Return the capability of that name, or None."""
        return next((c for c in self.capabilities if c.name == name), None)


def canonical_name(name: str) -> str:
    """Return the name without the suffix of older clients: `apollo` for `apollo-ai` and `apollo-ci`."""
    for suffix in ("-ai", "-ci"):
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name
