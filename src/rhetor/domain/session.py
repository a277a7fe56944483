"""A session: a conversation with one peer, in turns, that has an owner and an end."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from .peer import Peer
from .tool import Tool


class SessionState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    WAITING = "waiting"
    STOPPED = "stopped"
    FAILED = "failed"
    EXPIRED = "expired"


TAKES_MESSAGES = frozenset({SessionState.ACTIVE, SessionState.PAUSED, SessionState.WAITING})


class Voice(Struct, frozen=True, gc=False):
    """How a specialist is to speak in one session. `prompt`: in the place of its own; `besides`: said after
    it; `model`: `auto` or `provider/model`, in the place of its own."""

    prompt: str | None = None
    besides: str = ""
    model: str | None = None

    def of(self, peer: Peer) -> Peer:
        """The peer, speaking so; a program speaks as it does."""
        if peer.program is not None:
            return peer
        own = peer.prompt if self.prompt is None else self.prompt
        prompt = "\n\n".join(part for part in (own, self.besides) if part)
        return replace(peer, prompt=prompt, model=self.model or peer.model)


class Session(Struct, frozen=True, gc=False):
    """A conversation with one peer.

    `created_at`, `used_at`: Unix time in milliseconds. `ttl`: seconds without use after which it expires;
    None: never. `once`: opened for a single message, and over when that is answered. `tools`: functions that
    its owner runs for the model. `detach_ttl`: seconds after which it is stopped if no client is connected;
    None: it is not stopped. `version`: of the catalog row that it was read from; 0 for a new session.
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
    once: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    voice: Voice | None = None
    detach_ttl: float | None = None
    version: int = 0

    @property
    def takes_messages(self) -> bool:
        return self.state in TAKES_MESSAGES

    def has_expired(self, now: int) -> bool:
        """Whether it was left alone for longer than its `ttl`. `now`: Unix time in milliseconds."""
        return self.takes_messages and self.ttl is not None and now - self.used_at > self.ttl * 1000

    def used(self, now: int) -> Session:
        return replace(self, used_at=now)

    def become(self, state: SessionState) -> Session:
        return replace(self, state=state)
