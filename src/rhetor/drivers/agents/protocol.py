"""The interface of a coding agent's protocol: a state machine without I/O that takes lines, and returns
outputs and lines to write.

An `AgentProtocol` is one conversation in one process. Its caller reads and writes the lines, stores its
memory, and manages sessions and turns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from rhetor.domain.output import Plain
from rhetor.domain.questions import Answers
from rhetor.drivers.base import Attachment
from rhetor.errors import TurnFailure

from .records import text
from .reports import Report

COPY_OF = "copy_of"  # in a saved memory: the memory of the conversation to copy, until the copy is made
REPORTED = "reported"  # in a saved memory: what the agent has reported about itself


class Decoded(Struct, frozen=True):
    """The meaning of a line.

    `outputs`: for the log, in order. Unless the protocol leaves it out, a `Record` of the line is among them.
    `writes`: lines to write to the agent, without newlines. `ended`: the running turn is over, with `failure`
    if it has no answer (code `interrupted` if it was interrupted), or else with the `finish_reason` of
    `Done`.
    """

    outputs: tuple[Plain, ...] = ()
    writes: tuple[bytes, ...] = ()
    ended: bool = False
    failure: TurnFailure | None = None
    finish_reason: str = "stop"


class Opening(Struct, frozen=True):
    """How to open a conversation.

    `memory`: the memory that an earlier process of the conversation left, empty for a new conversation.
    `fork`: continue that conversation in a copy. `model`: the agent's own name of a model, None for its
    default. `persona`: act as a model with this system prompt, without tools as far as possible, in this
    process only.
    """

    cwd: str
    memory: dict[str, Any] = field(default_factory=dict)
    fork: bool = False
    model: str | None = None
    persona: str | None = None


class AgentProtocol(ABC):
    """One conversation with an agent.

    `memory` is what another process, or another hub, needs to continue: above all the agent's own id of the
    conversation, as `session_id`. It is small JSON and changes only within the methods here. `reported` is
    what the agent reports about itself. While a turn runs, `Text` belongs to its answer and `Late` to an
    earlier turn.

    Nothing that an agent writes makes a protocol raise: an unknown line becomes a `Record`.
    """

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        # seconds without output after which `settle` must be called; None: never
        self.settle_after: float | None = None
        self.refused: TurnFailure | None = None  # why the agent cannot open the conversation
        self.turn = ""  # the id of the turn that runs, or ran last, in the log; empty if it is not known
        self.memory: dict[str, Any] = {} if opening.fork else dict(opening.memory)
        self.reported: Report = self.memory.pop(REPORTED, {})

    def can_fork(self) -> bool:
        """Return whether the agent can continue a copy of the conversation, as far as is known."""
        return False

    def can_rewind(self) -> bool:
        """Return whether the agent can continue a copy of the conversation as it was when it left `memory`,
        whatever was said since. A fork with such a memory does."""
        return False

    @property
    def place(self) -> tuple[Any, ...] | None:
        """Where in the conversation `memory` was left: equal if nothing was said since. None: unknown."""
        return None

    @property
    def has_copy(self) -> bool:
        """Whether the copy has been made, so that later messages in the original are not part of it."""
        return "session_id" in self.memory

    @property
    def saved(self) -> dict[str, Any]:
        """The `memory` for the next `Opening`. If the copy has not been made yet, the original's memory is
        included."""
        kept = {**self.memory, REPORTED: dict(self.reported)} if self.reported else dict(self.memory)
        if self.opening.fork and "session_id" not in self.memory:
            kept[COPY_OF] = self.opening.memory
        return kept

    @abstractmethod
    def arguments(self) -> tuple[str, ...]:
        """Return the arguments that follow the configured ones."""

    def command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command to run. `argv`: the executable and its configured arguments."""
        return (*argv, *self.arguments())

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return the agent's whole environment. `given`: the variables that its entry allows."""
        return given

    @abstractmethod
    def opening_lines(self) -> tuple[bytes, ...]:
        """Return the lines to write when the agent has started."""

    @abstractmethod
    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        """Continue with a program that an earlier hub started: `memory` is set, and that hub has sent
        `opening_lines`. `in_turn`: a turn is running. `asked`: the `detail` of each open permission request,
        by its id."""

    @abstractmethod
    def prompt(self, content: str, attachments: Sequence[Attachment] = ()) -> tuple[bytes, ...]:
        """Return the lines that begin a turn. If the agent is not ready yet, `decode` returns them later.

        Raises:
            InputUnsupported: the agent does not take one of the attachments; nothing has changed.
        """

    @abstractmethod
    def decode(self, line: bytes) -> Decoded:
        """Decode one line of the agent's output, without its newline."""

    def settle(self) -> Decoded:
        """End the running turn, whose end was decoded already: nothing followed it for `settle_after`
        seconds."""
        self.settle_after = None
        return Decoded(ended=True)

    @abstractmethod
    def answer(
        self, request_id: str, option_id: str | None, answers: Answers | None = None
    ) -> tuple[bytes, ...]:
        """Return the lines that answer a permission request. `option_id` is None if the request was cancelled
        or has expired, or if it is answered with the `answers` to its questions."""

    @abstractmethod
    def interrupt(self) -> tuple[bytes, ...]:
        """Return the lines that end the running turn and cancel its open permission requests. `decode`
        reports the end later."""


class RewindingProtocol(AgentProtocol):
    """A conversation with an agent that can copy it up to a message. The protocol keeps the id of the last
    message in `memory`, as `last`."""

    def can_fork(self) -> bool:
        return True

    def can_rewind(self) -> bool:
        return self.place is not None

    @property
    def place(self) -> tuple[str, str] | None:
        known, last = text(self.memory, "session_id"), text(self.memory, "last")
        return (known, last) if known and last else None
