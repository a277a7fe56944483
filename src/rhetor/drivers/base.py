"""The interfaces through which the hub uses every kind of peer.

A `Driver` opens conversations with peers that need no process of their own: models, and models with tools.
A `ProgramDriver` starts programs and finds them again. A program outlives the hub that started it, so a
`RunningProgram` also has output that belongs to no turn, and a turn may begin under one hub and end under the
next one. `Transcripts` reads conversations that an agent has recorded in files of its own. A `Sender`
delivers notifications.

The hub imports nothing else from the drivers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from rhetor.codec.patterns import pattern
from rhetor.domain.event import ContextInjected
from rhetor.domain.given import GivenConversation
from rhetor.domain.notification import NotDelivered, Notification, Recipient
from rhetor.domain.output import Output, Spooled
from rhetor.domain.parts import MOST_BYTES, Part, Take
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch, ProgramStatus
from rhetor.domain.tool import Tool
from rhetor.domain.tool_server import ToolServer
from rhetor.domain.transcript import Excerpt, TranscriptFile

HOPS_HEADER = "x-rhetor-hops"
# Through how many peers the message of the running turn has passed, the one that answers included. The hub
# sets it before it calls a peer. Requests to other servers than those of the vendors carry it, because one
# may be a hub, which counts on from there: a circle through several hubs ends at the limit, too.
HOPS: ContextVar[int] = ContextVar("hops", default=0)


class Attachment(msgspec.Struct, frozen=True):
    """A part of a message, with its content."""

    part: Part
    content: bytes

    def __repr__(self) -> str:
        return f"Attachment({self.part!r})"


class PastMessage(msgspec.Struct, frozen=True):
    """One earlier message of a conversation. Histories list the oldest message first."""

    role: Literal["user", "assistant"]
    content: str
    attachments: tuple[Attachment, ...] = ()


class Inputs(msgspec.Struct, frozen=True):
    """What a peer takes besides text. `by`: who takes it, a model or an agent. `takes`: None if only the
    running agent knows. `hint`: what to do if it does not take something. `most_bytes`: of all parts of a
    message together."""

    by: str
    takes: frozenset[Take] | None
    hint: str = ""
    most_bytes: int = MOST_BYTES


class PeerInputs(Protocol):
    """Knows what peers take, before anything is sent to them."""

    async def of(self, peer: Peer) -> Inputs:
        """Return what the peer takes, with the model that it has now.

        Raises:
            UnknownModel: no provider knows its model.
            ProviderFailed: the model cannot be called.
        """
        ...

    async def check_schema(self, schema: Mapping[str, Any]) -> None:
        """Check that an answer can be compared with the schema.

        Raises:
            Unprocessable: it is no JSON Schema, or too large, or uses what is not supported.
        """
        ...


class Download(msgspec.Struct, frozen=True):
    """The content of a URL. `media_type`: as the server names it; it may be empty."""

    content: bytes
    media_type: str
    name: str


class Origin(msgspec.Struct, frozen=True):
    """Where a message comes from. `session_id`: None in a plan's own stream. `sender`: the name that readers
    see. `via`: the peers that the message has passed through. `purpose`: what the peer is for."""

    session_id: str | None
    turn_id: str
    sender: str
    via: tuple[str, ...] = ()
    purpose: str | None = None


class Prompt(msgspec.Struct, frozen=True):
    """The message that a turn answers.

    Programs only: `execute` submits the message after typing it, and `delimiter` replaces the Enter key, or
    the newline, that submits it. `tools` are the client's own tools, which the client runs. `context` is set
    for programs whose protocol separates context from the message; for all others it is part of `content`.
    `origin` is set for the same programs. `turn`: the id of the turn in the log, for text that arrives after
    its end. `parts`: what follows the content; before the prompt is sent, `attachments` has them with their
    own contents. `schema`: the JSON Schema of the answer. `given`: the whole conversation up to this message,
    if the client gave it with its own tools and options; it replaces the history. `contents`: the content of
    each blob that the conversation names, by the blob's id.
    """

    content: str
    execute: bool = False
    delimiter: str | None = None
    tools: tuple[Tool, ...] = ()
    context: tuple[ContextInjected, ...] = ()
    origin: Origin | None = None
    turn: str = ""
    parts: tuple[Part, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    schema: dict[str, Any] | None = None
    given: GivenConversation | None = None
    contents: Mapping[str, bytes] = msgspec.field(default_factory=dict)


class Conversation(Protocol):
    """One conversation with one peer. At most one `send` runs at a time."""

    def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        """Run one turn and yield its outputs in order. The last one is `Done`.

        After a `ToolUse` that runs at the client, and after a `Permission`, the turn waits for `answer`. The
        ids of both are unique in the session, whatever ids the peer uses itself.

        Closing the iterator early (`aclose`) also ends the turn at the peer, as far as the peer supports it.
        After `interrupt` the iterator ends without `Done`, or raises TurnFailure.

        Raises:
            TurnFailure: the turn cannot be finished. The outputs that were yielded before remain valid.
        """
        ...

    async def answer(self, id: str, value: Any) -> None:
        """Answer a tool call with its `ToolResult`, or a permission request with the id of the chosen option
        or the `Answers` to its questions.

        None as the option means that none was chosen in time. The answer to a request that is not open is
        ignored.
        """
        ...

    async def interrupt(self) -> None:
        """Ask the peer to end the running turn. Does not wait until the turn has ended."""
        ...

    async def aclose(self) -> None:
        """Release the conversation's resources. If its peer is a program, the program continues to run."""
        ...


@runtime_checkable
class Leavable(Protocol):
    """A conversation with a wrapped program, which continues its turn if nobody waits for it any more."""

    def leave(self) -> None:
        """Do not interrupt the program if the running turn is closed now."""
        ...


class Driver(Protocol):
    """Opens conversations with peers of one kind.

    `sessions` is "many" if conversations with a peer are independent of each other, "one" if the peer has a
    single conversation that all its sessions share.
    """

    sessions: Literal["many", "one"]

    async def open(self, peer: Peer, resume: str | None = None) -> Conversation:
        """Open a conversation. `resume` is the peer's own id of an earlier one to continue."""
        ...

    async def aclose(self) -> None:
        """Close all connections. Turns that are running fail."""
        ...


class Viewer(Protocol):
    """One client's view of a program's terminal. `id` is unique among the viewers of that program."""

    id: str

    def __aiter__(self) -> AsyncIterator[bytes | dict[str, Any]]:
        """Yield bytes to write to the client's terminal, and notices as objects with a `type`.

        The first bytes draw the current screen. The notices are attached, replayed, size, clients, exited and
        lost. The iterator ends when the program has ended.

        Raises:
            TooSlow: the client reads so slowly that output which it has not read is no longer kept.
        """
        ...

    async def press(self, keys: bytes) -> None:
        """Type `keys` into the program.

        Raises:
            Forbidden: the viewer is read-only.
            MachineOffline: the program's machine is not connected; nothing was typed.
        """
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Report the size of the client's terminal. The program gets the smallest size of all viewers."""
        ...

    async def aclose(self) -> None:
        """Detach. The program continues to run."""
        ...


class SavedState(msgspec.Struct, frozen=True):
    """The state in the log of a program that an earlier hub started.

    `offset`: the number of bytes of its output that are in the log. `memory`: its last `Remembered`.
    `in_turn`: a turn was running. `asked`: the `detail` of each open permission request, by its id.
    """

    offset: int
    memory: dict[str, Any] = msgspec.field(default_factory=dict)
    in_turn: bool = False
    asked: dict[str, Any] = msgspec.field(default_factory=dict)


class RunningProgram(Protocol):
    """A program that runs in its host process.

    `source` names its output in the log. `ended` is None while it runs. Each `Spooled` that its methods yield
    has the offset up to which the program's output has been read. When that is stored, the hub calls
    `acknowledge`.
    """

    peer: Peer
    source: str
    ended: Exit | None

    @property
    def pid(self) -> int:
        """The process id of the program, on its machine; 0 while it is not known."""
        ...

    @property
    def host_pid(self) -> int:
        """The process id of its host, on its machine; 0 while it is not known."""
        ...

    def conversation(self) -> Conversation:
        """Return the conversation with the program. Closing it does not end the program."""
        ...

    def resume_turn(self) -> AsyncGenerator[Output, None]:
        """Yield the remaining outputs of the turn that began under an earlier hub, as `Conversation.send`
        does."""
        ...

    @property
    def status(self) -> ProgramStatus:
        """What the program is doing, as far as it is known without asking its host."""
        ...

    @property
    def screen(self) -> tuple[str, ...] | None:
        """The lines of the program's terminal when it was last inspected; None if it does not run in one."""
        ...

    @property
    def is_viewed(self) -> bool:
        """Whether a client's terminal shows what the program prints."""
        ...

    @property
    def capabilities(self) -> Mapping[str, float]:
        """The capabilities that the program itself declares, each with a score from 0 to 1."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """Other facts that the program reports: `model` and `mode` (text); `models`, `modes`, `commands` and
        `tools` (lists of names). Keys that it does not report are missing."""
        ...

    async def wait_until_copied(self) -> None:
        """Wait until the program has its own copy of the conversation that it was started from. Messages that
        the original gets after that are not part of the copy.

        Raises:
            TurnFailure: the program cannot continue with a copy.
        """
        ...

    async def inspect(self) -> ProgramStatus:
        """Ask the host, draw the screen, and return the status with its reasons, the open dialog and the
        screen."""
        ...

    def unprompted(self) -> AsyncGenerator[Spooled, None]:
        """Yield the output that belongs to no turn, a burst of it in few pieces.

        The iterator ends after the last output, when the program has ended or its output can no longer be
        read; `ended` is set then. Requesting the next item confirms that the previous one has been stored.
        """
        ...

    async def answers(self, seconds: float | None) -> bool:
        """Return whether the host of the program answers within `seconds` (None: without limit)."""
        ...

    async def acknowledge(self, offset: int) -> None:
        """Tell the host that the output before `offset` is in the log, so that the host may delete it."""
        ...

    async def view(self, *, sender: str, writes: bool) -> Viewer:
        """Attach to the program's terminal.

        Raises:
            NoTerminal: the program does not run in a terminal.
        """
        ...

    async def end(self, *, force: bool = False) -> Exit:
        """Send SIGTERM to the program and all its descendants, and SIGKILL after 5 seconds. Wait until all of
        them have ended.

        If the program's host does not answer, it is killed with them if `force` is set.

        Raises:
            TurnFailure: the host does not answer, and `force` is not set.
        """
        ...

    def release(self) -> None:
        """Do not interrupt abandoned turns from now on: the hub is stopping, and the program continues the
        running turn."""
        ...

    async def aclose(self) -> None:
        """Disconnect from the program, which continues to run. A program whose output can no longer be read
        is ended instead."""
        ...


class ProgramDriver(Protocol):
    """Starts programs of one kind, and finds those that an earlier hub started.

    `sessions` is "one" if all sessions share the peer's program, "many" if each session has a program of its
    own. `continues` says whether a running turn continues under the next hub (`resume_turn`); otherwise the
    next hub ends it as interrupted.
    """

    sessions: Literal["many", "one"]
    continues: bool

    async def start(
        self,
        peer: Peer,
        host_id: str,
        launch: Launch,
        memory: dict[str, Any],
        changed: Callable[[RunningProgram], None],
    ) -> RunningProgram:
        """Start the peer's program under a new host process, named `host_id`.

        `memory` is the last `Remembered` of an earlier program of the same conversation, empty for a new one.
        `changed` is called whenever the program's `status` changes.

        Raises:
            ProgramMissing: the executable does not exist.
            ProgramRefused: the program cannot be started.
        """
        ...

    async def find(
        self, peer: Peer, host_id: str, saved: SavedState, changed: Callable[[RunningProgram], None]
    ) -> RunningProgram | Exit:
        """Find the program that an earlier hub started.

        A program that has ended is returned too if some of its output is not in the log yet. `Exit`
        means that there is nothing left to read.
        """
        ...

    def memory_of_copy(self, peer: Peer, memory: dict[str, Any]) -> dict[str, Any]:
        """Return the memory for a program that continues a copy of the conversation that left `memory`. It is
        empty if that conversation has not begun.

        Raises:
            ForkUnsupported: this kind of program cannot copy a conversation.
        """
        ...

    def memory_to_keep(self, memory: dict[str, Any]) -> dict[str, Any]:
        """Return the part of a memory that `memory_at` needs, to be kept for long."""
        ...

    def memory_at(self, left: dict[str, Any], now: dict[str, Any]) -> dict[str, Any] | None:
        """Return the memory for a program that continues a conversation as it was when it left `left`.

        `now`: the conversation's present memory. It is the result if nothing was said since. None: this kind
        of program cannot go back.
        """
        ...

    def remembers(self, memory: dict[str, Any]) -> bool:
        """Return whether a program that starts with this memory continues an earlier conversation."""
        ...

    def forget(self, peer: Peer, host_id: str) -> None:
        """Remove the files of a program that has ended."""
        ...


class LinkSocket(Protocol):
    """A connection of a machine that has joined. `receive` returns None when the machine has closed it."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes | None: ...


class Resumed(NamedTuple):
    """How a connection of a machine begins. `session`: what the machine names when it connects again.
    `received`: the number of the last message that arrived from it; None if a new session begins, because its
    process, or this hub, has started since."""

    session: str
    received: int | None


class MachineLink(Protocol):
    """The link to a machine that has joined, over all connections that it makes.

    `offline`: why it is not connected; None while it is. `changed` is called when that changes.
    """

    offline: str | None
    changed: Callable[[], None]

    def resume(self, session: str, received: int) -> Resumed:
        """Prepare a connection. `session`: as this method returned it for the last one; `received`: the
        number of the last message that the machine has received in that session."""
        ...

    async def serve(self, socket: LinkSocket, received: int) -> None:
        """Use a connection until it ends. An earlier one ends now.

        Raises:
            ValueError: the machine does not follow the protocol.
            ConnectionError: the connection was lost, or the machine has made another one.
        """
        ...

    def close(self, why: str) -> None:
        """End the link."""
        ...


class MachineLinks(Protocol):
    """The links to all machines that have joined."""

    def of(self, machine: str) -> MachineLink:
        """Return the link of the machine, a new one if it has none."""
        ...

    def remove(self, machine: str) -> None:
        """End and forget the link of a machine. No effect if it has none."""
        ...


class ToolServers(Protocol):
    """The MCP servers whose tools models may have: those of the configuration, and added ones. A configured
    server hides an added one of the same name."""

    @property
    def configured(self) -> Mapping[str, ToolServer]: ...

    @property
    def added(self) -> Mapping[str, ToolServer]: ...

    def check(self, server: ToolServer) -> None:
        """Check the address of a server, unless it is a name.

        Raises:
            Unprocessable: it is never called, whatever the settings.
        """
        ...

    def put(self, server: ToolServer) -> None:
        """Add a server, from the next turn on."""
        ...

    def remove(self, name: str) -> None:
        """Remove an added server, and stop it if it is running."""
        ...

    async def test(self, name: str) -> Sequence[Tool]:
        """Connect to a server and return its tools.

        Raises:
            ToolServerFailed: it cannot be started or reached, or does not answer in time.
        """
        ...


class Sender(Protocol):
    """Sends notifications to one recipient. Two senders are equal if they do the same."""

    @property
    def recipient(self) -> Recipient: ...

    def fault(self) -> NotDelivered | None:
        """Return why nothing can be delivered, if that is known without trying."""
        ...

    async def send(self, notification: Notification) -> None:
        """Deliver a notification once, within half a minute.

        Raises:
            NotDelivered: it was not delivered, as far as is known.
        """
        ...


class Transcripts(Protocol):
    """The conversations that one kind of agent records in files. The files are never written. All methods
    block, so call them in a thread."""

    def files(self, environment: Mapping[str, str]) -> Sequence[TranscriptFile]:
        """Return the transcripts of an agent that runs with this environment."""
        ...

    def at(self, path: str) -> Sequence[TranscriptFile]:
        """Return the transcript at `path`, or all transcripts in that folder.

        Raises:
            TranscriptUnreadable: the path cannot be read, is neither a regular file nor a folder, or is a
                file of another user.
        """
        ...

    def recognises(self, path: str) -> bool:
        """Return whether the file is a transcript of this kind of agent.

        Raises:
            TranscriptUnreadable: as for `at`.
        """
        ...

    def read(self, path: str) -> Iterator[Excerpt]:
        """Yield the contents of the file, from its beginning to its current end, in pieces of bounded size.

        The last excerpt says whether the whole file was read. A message that is still being written is left
        out.

        Raises:
            TranscriptUnreadable: as for `at`.
        """
        ...


def require_pattern(text: str | None) -> None:
    """Check a regular expression for a program's prompt. None means that there is none.

    Raises:
        ValueError: it is invalid; the message says why.
    """
    if text:
        pattern(text)
