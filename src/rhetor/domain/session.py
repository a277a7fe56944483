"""A session: a conversation of its owner with one peer, in turns."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from .peer import Peer
from .permission import Rules
from .tool import Tool


class SessionState(StrEnum):
    """The state of a session. `stopped`, `failed` and `expired` are final."""

    ACTIVE = "active"
    PAUSED = "paused"
    WAITING = "waiting"
    STOPPED = "stopped"
    FAILED = "failed"
    EXPIRED = "expired"


TAKES_MESSAGES = frozenset({SessionState.ACTIVE, SessionState.PAUSED, SessionState.WAITING})


class Voice(Struct, frozen=True, gc=False):
    """The prompt and the model of a specialist in one session.

    `prompt`: replaces the specialist's own prompt. `besides`: is appended to the prompt. `model`: `auto` or
    `provider/model`; replaces the specialist's own model. `mcp_servers`: servers whose tools it has besides
    its own. `permissions`: rules that answer permission requests of any peer besides its own rules.
    """

    prompt: str | None = None
    besides: str = ""
    model: str | None = None
    mcp_servers: tuple[str, ...] = ()
    permissions: Rules = field(default_factory=Rules)

    def with_own(self, prompt: str | None, model: str | None) -> Voice:
        """Return a copy with the prompt and the model of one message, if it has any."""
        return replace(
            self,
            prompt=self.prompt if prompt is None else prompt,
            besides=self.besides if prompt is None else "",
            model=model or self.model,
        )

    def of(self, peer: Peer) -> Peer:
        """Return the peer with this voice. A program is returned unchanged."""
        if peer.program is not None:
            return peer
        own = peer.prompt if self.prompt is None else self.prompt
        prompt = "\n\n".join(part for part in (own, self.besides) if part)
        servers = tuple(dict.fromkeys((*peer.mcp_servers, *self.mcp_servers)))
        return replace(peer, prompt=prompt, model=self.model or peer.model, mcp_servers=servers)


class Session(Struct, frozen=True, gc=False):
    """A conversation with one peer.

    `created_at`, `used_at`: Unix time in milliseconds. `ttl`: seconds without use after which it expires,
    None for never. `started`: it has had a message. `once`: it was opened for a single message and ends with
    the answer. `tools`: tools that
    its owner runs for the model, besides those of the peer. `detach_ttl`: seconds without a connected client
    after which it is stopped, None for never. `checkpoint`: the id of the checkpoint from which it
    continues. `restore`: the number of the last restore of its files. `retold`: whenever its agent begins a
    new conversation, it is told the earlier one. `heard`: if several agents have answered in it, the last
    turn that each of them knows; its own agent is left out while it knows all. `folder`: the one that a fork
    made for it and its files. `attached`: a message in it has had parts. `given`: a client has given its
    conversation with a message.
    """

    id: str
    peer: str
    owner: str
    created_at: int
    used_at: int
    state: SessionState = SessionState.ACTIVE
    ttl: float | None = None
    context_window: int = 0
    name: str | None = None
    project_id: str | None = None
    started: bool = False
    once: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    voice: Voice | None = None
    detach_ttl: float | None = None
    checkpoint: str | None = None
    restore: str | None = None
    retold: bool = False
    heard: dict[str, str] = field(default_factory=dict)
    folder: str | None = None
    version: int = 0
    attached: bool | UnsetType = UNSET
    given: bool | UnsetType = UNSET

    @property
    def takes_messages(self) -> bool:
        """Whether the session has not ended."""
        return self.state in TAKES_MESSAGES

    def has_expired(self, since: Callable[[int], int]) -> bool:
        """Whether it has not been used for longer than its `ttl`. `since`: returns how many milliseconds have
        passed since a time."""
        return self.takes_messages and self.ttl is not None and since(self.used_at) > self.ttl * 1000

    def used(self, now: int) -> Session:
        """Return a copy that had a message at `now` (Unix time in milliseconds)."""
        return replace(self, used_at=now, started=True)

    def become(self, state: SessionState) -> Session:
        """Return a copy in another state."""
        return replace(self, state=state)
