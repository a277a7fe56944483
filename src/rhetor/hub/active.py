"""Running turns, plans and programs, as the lower layers of the hub see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from rhetor.domain.event import Cause, Payload, PermissionAnswered, Position, ToolReturned
from rhetor.domain.output import Late
from rhetor.domain.peer import Peer
from rhetor.domain.program import ProgramStatus
from rhetor.domain.turn import Turn
from rhetor.drivers.base import Conversation, RunningProgram
from rhetor.hub.catalog.programs import ProgramRow
from rhetor.hub.catalog.requests import Request
from rhetor.hub.core.masking import MaskedOutputs
from rhetor.store.base import Committed, Key, Row, SourceOffset


class RunningTurn(Protocol):
    """A turn that runs in a session or in a plan."""

    @property
    def turn(self) -> Turn: ...

    def stop(self, how: Callable[[Turn], tuple[Payload, ...]], *, waiting_only: bool = False) -> None:
        """End the turn now with the payloads that `how` returns. No effect if its answer is complete.

        `waiting_only`: only the waiting for the answer has ended; a wrapped program is not interrupted.
        """
        ...


class Runner(Protocol):
    """A session's runner. `current`: the turn that it is running; `task`: None until the runner starts."""

    @property
    def task(self) -> asyncio.Task[None] | None: ...

    @property
    def current(self) -> RunningTurn | None: ...

    @property
    def caller(self) -> str:
        """The caller whose turn runs, or is about to; empty if there is none, or it is not known yet."""
        ...

    def wake(self) -> None:
        """Run the waiting turns after the current one."""
        ...


class RunningPlan(Protocol):
    """A plan that is running. `task`: None until the plan starts."""

    @property
    def task(self) -> asyncio.Task[None] | None: ...

    @property
    def owner(self) -> str:
        """The caller that started it."""
        ...

    @property
    def unattended(self) -> bool:
        """Whether nobody waits for it, so that it continues when its readers leave."""
        ...

    @property
    def active(self) -> int:
        """The number of its steps that have begun and not ended."""
        ...

    @property
    def runs(self) -> Collection[RunningTurn]:
        """The turns that run in the plan's own stream."""
        ...

    @property
    def sessions(self) -> Collection[str]:
        """The sessions in which steps of the plan run."""
        ...

    def stop(self, by: str) -> None:
        """Cancel the running steps and start no others. `by`: who or what stopped the plan."""
        ...

    def shut_down(self) -> None:
        """Interrupt the running steps of the plan's own stream."""
        ...


class OpenRequests(Protocol):
    """The open requests of a running turn. `step`: of the plan in whose stream it runs, if it does; `since`:
    when it began, as Unix time in milliseconds. `lock`: must be held for each commit of the turn. `via`: the
    peers that the turn's message has passed through. `cause`: the original from which the message follows.
    `onward`: the cause of messages that follow from this turn. `caller`: who sent the original. `instance`:
    the key of the program that answers, if any."""

    @property
    def caller(self) -> str: ...

    @property
    def lock(self) -> asyncio.Lock: ...

    @property
    def stream(self) -> str: ...

    @property
    def turn_id(self) -> str: ...

    @property
    def instance(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def peer(self) -> str: ...

    @property
    def turn(self) -> Turn: ...

    @property
    def step(self) -> str | None: ...

    @property
    def since(self) -> int: ...

    @property
    def via(self) -> tuple[str, ...]: ...

    @property
    def cause(self) -> Cause: ...

    @property
    def onward(self) -> Cause: ...

    async def answer(
        self, request: Request, payload: ToolReturned | PermissionAnswered, value: Any, key: Key | None = None
    ) -> Committed:
        """Commit the answer, then pass `value` to the peer.

        Raises:
            StateConflict: the request was answered, or its turn has ended.
            KeyReused: `key` was used for another command.
            StoreRefused: nothing was stored; the request may be answered again.
        """
        ...

    def note_answer(self, payload: PermissionAnswered) -> None:
        """Continue as an answer says that was committed before the turn was taken up from an earlier hub."""
        ...


KEPT_TURNS = 100  # ended turns of a program that late text can belong to


class EndedTurn(msgspec.Struct, frozen=True):
    """A turn that has ended, the stream that it is in, and its step if that is a plan's stream."""

    stream: str
    turn_id: str
    step: str | None = None


@dataclass(slots=True, repr=False)
class ProgramInstance:
    """A running program, and the tasks that log its output and status.

    `changed` is set when the program's status changes, `end_logged` when its end is in the log.
    `abandoned_turn`: the program's last turn, if it ended without an answer. The program may report the usage
    of that turn later. `last_turn`: the conversation's last turn that ended. `ended`: the last turns of this
    instance that ended, by their ids. `late`: text that arrived after the end of its turn and is not part of
    the answer yet, with whether it is in the log, and the last turn that had ended then. `asked`: it has had
    a message. `unshown`: the position before the first output that came unasked after that, and that nobody
    has seen; None if there is none. `silent_since`: when its host process was found not to answer, Unix time
    in milliseconds; None while it answers. `notified_at`: when somebody was last notified that it is stuck,
    Unix time in milliseconds. `masks`: masks its outputs, of all its turns and between them: a
    secret may begin in a turn and end after it.
    """

    entry: ProgramRow
    running: RunningProgram
    masks: MaskedOutputs
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    end_logged: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    abandoned_turn: str | None = None
    last_turn: EndedTurn | None = None
    ended: dict[str, EndedTurn] = field(default_factory=dict)
    late: list[tuple[Late, bool, EndedTurn | None]] = field(default_factory=list)
    asked: bool = False
    unshown: Position | None = None
    silent_since: int | None = None
    notified_at: int = 0

    @property
    def peer(self) -> Peer:
        return self.entry.peer

    @property
    def status(self) -> ProgramStatus:
        if self.silent_since is not None:
            return ProgramStatus("stuck", "its host process does not answer", self.silent_since)
        return self.running.status

    def turn_over(self, ended: EndedTurn) -> None:
        """Note that a turn has ended."""
        self.last_turn = self.ended[ended.turn_id] = ended
        if len(self.ended) > KEPT_TURNS:
            del self.ended[next(iter(self.ended))]

    def stored(self, sources: Sequence[SourceOffset]) -> int | None:
        """Return the offset that `sources` has for the program's spool; None if it has none."""
        return next((s.offset for s in sources if s.source == self.running.source), None)


class BuiltInPeer(Protocol):
    """Opens conversations with peers that the hub itself implements: teams, and the hub peer."""

    def __call__(self, peer: Peer, requests: OpenRequests) -> Conversation: ...


class NodeBoards(Protocol):
    """Tells the other nodes what goes on at this one, and is told by them."""

    def note_left(self, stream: str) -> None:
        """Tell the owner of a stream that its last reader at this node has left for good."""
        ...

    def note_dropped(self, session_id: str) -> None:
        """Tell the owner of a session that the last client at this node that kept it open has left for
        good."""
        ...

    def apply(self, id: str, row: Row | None) -> None:
        """Take over the row of another node, or note that it was removed."""
        ...

    async def flush(self) -> None:
        """Write the row of this node now, if it has changed and there are other nodes."""
        ...
