"""How the hub sees every kind of peer: a driver opens conversations, a conversation answers messages.

Programs are started before, and go on after them: a driver of programs says what runs, and what it says while
nobody asks it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rhetor.domain.event import ContextInjected
from rhetor.domain.output import Output, Spooled
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch, ProgramStatus
from rhetor.domain.tool import Tool
from rhetor.domain.transcript import Excerpt, TranscriptFile


@dataclass(frozen=True, slots=True)
class Said:
    """One earlier message of a conversation, oldest first in a history."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The message to answer. `execute` and `delimiter` matter to programs only; `tools` are the sender's.
    `context`: for programs that are told it apart from the message; for all others it is in `content`."""

    content: str
    execute: bool = False
    delimiter: str | None = None
    tools: tuple[Tool, ...] = ()
    context: tuple[ContextInjected, ...] = ()


class Conversation(Protocol):
    """One thread of talk with one peer. One `send` runs at a time."""

    def send(self, message: Prompt, history: Sequence[Said]) -> AsyncGenerator[Output, None]:
        """The outputs of one turn, ending with `Done`.

        For a `ToolUse` that runs at the client, and for a `Permission`, an `answer` is waited for. Their ids
        are unique in the session, whatever the peer calls them.

        Closing the iterator early (`aclose`) ends the turn at the peer as well, as far as the peer can.

        Raises:
            TurnFailure: the turn cannot be finished; what was yielded until then stands.
        """
        ...

    async def answer(self, id: str, value: Any) -> None:
        """Give the `ToolResult` of a call, or the id of the option chosen for a permission request (None:
        nobody chose in time). One that nobody waits for (any more) is no error."""
        ...

    async def interrupt(self) -> None:
        """Ask the peer to end the running turn; its iterator then ends."""
        ...

    async def aclose(self) -> None: ...


class Driver(Protocol):
    """`sessions` many: conversations are independent of each other; one: the peer has a single one."""

    sessions: Literal["many", "one"]

    async def open(self, peer: Peer, resume: str | None = None) -> Conversation:
        """A conversation; `resume` is the peer's own id of an earlier one, where it keeps such ids."""
        ...

    async def aclose(self) -> None: ...


class Viewer(Protocol):
    """One terminal that is attached to a program's. `id` tells it from the others."""

    id: str

    def __aiter__(self) -> AsyncIterator[bytes | dict[str, Any]]:
        """Bytes for the terminal, first those that draw its present screen; between them, as objects with a
        `type`, what is said beside: attached, replayed, size, clients, exited, lost. Ends with the program.

        Raises:
            TooSlow: what was not read yet is more than is kept for a viewer.
        """
        ...

    async def press(self, keys: bytes) -> None:
        """Raises:
        Forbidden: it only looks."""
        ...

    async def resize(self, rows: int, cols: int) -> None: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Left:
    """What an earlier hub left of a program. `offset`: how much of its spool is in the log; `memory`: its
    last `Remembered`; `in_turn`: a turn is running; `asked`: the permission requests that wait, by id, with
    their `detail`."""

    offset: int
    memory: dict[str, Any] = field(default_factory=dict)
    in_turn: bool = False
    asked: dict[str, Any] = field(default_factory=dict)


class Running(Protocol):
    """A program that runs in its host, as long as this hub knows of it. `source`: of its spool."""

    peer: Peer
    pid: int
    host_pid: int
    source: str
    ended: Exit | None

    def conversation(self) -> Conversation: ...

    def proceed(self) -> AsyncGenerator[Output, None]:
        """The rest of the turn that began under an earlier hub, as `Conversation.send` gives it."""
        ...

    @property
    def status(self) -> ProgramStatus: ...

    @property
    def capabilities(self) -> Mapping[str, float]:
        """What the program itself says that it is good at, 0 to 1."""
        ...

    async def begun(self) -> None:
        """Return once what is said in the conversation that it was copied from is no part of its own.

        Raises:
            TurnFailure: it cannot begin.
        """
        ...

    @property
    def reported(self) -> Mapping[str, Any]:
        """What it tells of itself besides: model, mode (text), models, modes, commands, tools (names)."""
        ...

    async def looked_at(self) -> ProgramStatus:
        """Its condition with reasons, dialog and screen."""
        ...

    def unasked(self) -> AsyncGenerator[Spooled, None]:
        """What it says while no conversation has the floor, until it has ended and all was said. What was
        given is taken for stored when the next one is asked for."""
        ...

    async def stored(self, offset: int) -> None:
        """What its spool has before `offset` is in the log."""
        ...

    async def view(self, *, sender: str, writes: bool) -> Viewer:
        """Raises:
        NoTerminal: it has none."""
        ...

    async def end(self) -> Exit:
        """TERM, 5 seconds, KILL: for it and all that descends from it."""
        ...

    def release(self) -> None:
        """What is given up from now on is not interrupted: the hub ends, and the program goes on."""
        ...

    async def aclose(self) -> None:
        """Let go of it; the program goes on."""
        ...


class ProgramDriver(Protocol):
    """A conversation with a peer is one with the program that runs for it. `sessions` one: all share it;
    many: each session has its own. `continues`: whether a turn that runs goes on under the next hub, with
    `Running.proceed`; else it is interrupted."""

    sessions: Literal["many", "one"]
    continues: bool

    async def start(
        self,
        peer: Peer,
        host_id: str,
        launch: Launch,
        memory: dict[str, Any],
        changed: Callable[[Running], None],
    ) -> Running:
        """`memory`: what an earlier program of the same conversation left (`Remembered`), empty for none;
        `changed` is called when the program's condition is another one.

        Raises:
            ProgramMissing, ProgramRefused: it cannot be started.
        """
        ...

    async def find(
        self, peer: Peer, host_id: str, left: Left, changed: Callable[[Running], None]
    ) -> Running | Exit:
        """The one that an earlier hub started; of one that has ended what it had left to say comes first.
        `Exit`: nothing is left of it."""
        ...

    def copied(self, peer: Peer, memory: dict[str, Any]) -> dict[str, Any]:
        """The memory with which a program goes on with a copy of the conversation that left `memory`; empty
        where that had not begun.

        Raises:
            ForkUnsupported: it cannot.
        """
        ...

    def forget(self, host_id: str) -> None:
        """Remove what an ended program's host left behind."""
        ...


class Transcripts(Protocol):
    """The conversations that a kind of agent keeps itself, in files. They are read and never written; the
    methods block."""

    def kept(self, environment: Mapping[str, str]) -> Sequence[TranscriptFile]:
        """Those of an agent that has this environment."""
        ...

    def at(self, path: str) -> Sequence[TranscriptFile]:
        """The file, or those in the folder.

        Raises:
            TranscriptUnreadable: it is not there, no regular file, or another user's.
        """
        ...

    def recognises(self, path: str) -> bool:
        """Raises:
        TranscriptUnreadable: as `at`."""
        ...

    def read(self, path: str) -> Iterator[Excerpt]:
        """From its beginning to its present end, a bounded piece at a time; the last one says whether all was
        read. A passage that goes on is no part of it yet.

        Raises:
            TranscriptUnreadable: as `at`.
        """
        ...
