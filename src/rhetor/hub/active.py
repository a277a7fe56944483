"""What runs now, as the layers below the turns and plans see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rhetor.domain.event import Payload, PermissionAnswered, ToolReturned
from rhetor.domain.peer import Peer
from rhetor.domain.program import ProgramStatus
from rhetor.domain.turn import Turn
from rhetor.drivers.base import Conversation, RunningProgram
from rhetor.hub.catalog.programs import ProgramRow
from rhetor.hub.catalog.requests import Request
from rhetor.store.base import Committed, Key, SourceOffset


class RunningTurn(Protocol):
    """A turn that runs in a session or in a plan."""

    @property
    def turn(self) -> Turn: ...

    def stop(self, how: Callable[[Turn], tuple[Payload, ...]]) -> None:
        """End the turn now with the payloads of `how`; no effect if its answer is complete."""
        ...


class Runner(Protocol):
    """A session's runner. `current`: the turn that it runs now; `task`: None until it has begun."""

    @property
    def task(self) -> asyncio.Task[None] | None: ...

    @property
    def current(self) -> RunningTurn | None: ...

    def look(self) -> None:
        """Run the turns that wait, after the current one."""
        ...


class RunningPlan(Protocol):
    @property
    def task(self) -> asyncio.Task[None] | None: ...

    @property
    def runs(self) -> Collection[RunningTurn]:
        """The turns that run in the plan's own stream."""
        ...

    def stop(self, by: str) -> None:
        """Cancel the steps that run; start no other."""
        ...

    def shut_down(self) -> None:
        """Interrupt the steps that run in the plan's own stream."""
        ...


class OpenRequests(Protocol):
    """What a running turn has asked and nobody has answered. `via`: the peers that its message has come
    through."""

    @property
    def stream(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def peer(self) -> str: ...

    @property
    def via(self) -> tuple[str, ...]: ...

    async def answer(
        self, request: Request, payload: ToolReturned | PermissionAnswered, value: Any, key: Key | None = None
    ) -> Committed:
        """Commit the answer, then give it to the peer.

        Raises:
            StateConflict: it was answered, or its turn ended.
            StoreRefused: nothing was stored; it may be answered again.
        """
        ...


@dataclass(slots=True)
class ProgramInstance:
    """A program that runs, and the tasks that read it.

    `left` is set after its end is in the log. `given_up`: its last turn, if that ended without an answer; the
    program may report that turn's usage only later.
    """

    entry: ProgramRow
    running: RunningProgram
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    given_up: str | None = None

    @property
    def peer(self) -> Peer:
        return self.entry.peer

    @property
    def status(self) -> ProgramStatus:
        return self.running.status

    def stored(self, sources: Sequence[SourceOffset]) -> int | None:
        """The offset of its spool that a commit has stored; None if the commit had none."""
        return next((s.offset for s in sources if s.source == self.running.source), None)


class JointConversation(Protocol):
    """Opens a conversation for peers that are not reached by a driver: teams, and the hub itself."""

    def __call__(self, peer: Peer, requests: OpenRequests) -> Conversation: ...
