"""The protocol of a coding agent as a state machine without I/O: lines in, outputs and lines to write out.

An object is one conversation in one process. Its caller reads and writes the lines, stores what has to be
remembered, and knows sessions and turns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from rhetor.domain.output import Plain
from rhetor.errors import TurnFailure

from .reports import Report

COPY_OF = "copy_of"  # in a saved memory: the memory of the conversation to copy, until the copy is made
REPORTED = "reported"


class Decoded(Struct, frozen=True):
    """What a line means.

    `outputs`: for the log, in order, with a `Record` of the line itself. `writes`: lines to write to the
    agent, without newlines. `ended`: the running turn is over, with `failure` if it has no answer (code
    `interrupted` if it was interrupted), or else with the `finish_reason` of `Done`.
    """

    outputs: tuple[Plain, ...] = ()
    writes: tuple[bytes, ...] = ()
    ended: bool = False
    failure: TurnFailure | None = None
    finish_reason: str = "stop"


class Opening(Struct, frozen=True):
    """How a conversation is opened.

    `memory`: what an earlier process of it has left, empty for a new one. `fork`: continue from there as
    another conversation. `model`: the agent's own name of a model, None for its default. `persona`: act as a
    model with this system prompt, without tools as far as possible, in this process only.
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
    what the agent reports about itself.

    Nothing that an agent writes makes a protocol raise: an unknown line becomes a `Record`.
    """

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.refused: TurnFailure | None = None  # why it cannot continue the conversation
        self.memory: dict[str, Any] = {} if opening.fork else dict(opening.memory)
        self.reported: Report = self.memory.pop(REPORTED, {})

    def can_fork(self) -> bool:
        """Whether the agent can continue with a copy of the conversation, as far as is known."""
        return False

    @property
    def has_copy(self) -> bool:
        """Whether the copy is made, so that later messages in the original are not part of it."""
        return "session_id" in self.memory

    @property
    def saved(self) -> dict[str, Any]:
        """The `memory` for the next `Opening`. A copy that is not made yet includes that of its original."""
        kept = {**self.memory, REPORTED: dict(self.reported)} if self.reported else dict(self.memory)
        if self.opening.fork and "session_id" not in self.memory:
            kept[COPY_OF] = self.opening.memory
        return kept

    @abstractmethod
    def arguments(self) -> tuple[str, ...]:
        """The arguments that follow the configured ones."""

    def command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The command to run. `argv`: the executable and its configured arguments."""
        return (*argv, *self.arguments())

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """The agent's whole environment. `given`: the variables that its entry allows."""
        return given

    @abstractmethod
    def opening_lines(self) -> tuple[bytes, ...]:
        """The lines to write when the agent has started."""

    @abstractmethod
    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        """Continue with a program that an earlier hub started: `memory` is set, and `opening_lines` were sent
        then. `in_turn`: a turn is running. `asked`: the open permission requests, by id, with their
        `detail`."""

    @abstractmethod
    def prompt(self, content: str) -> tuple[bytes, ...]:
        """The lines that begin a turn. If the agent is not ready yet, there are none; `decode` returns them
        later."""

    @abstractmethod
    def decode(self, line: bytes) -> Decoded:
        """Decode one line of the agent's output, without its newline."""

    @abstractmethod
    def answer(self, request_id: str, option_id: str | None) -> tuple[bytes, ...]:
        """The lines that answer a permission request. None: it was cancelled or has expired."""

    @abstractmethod
    def interrupt(self) -> tuple[bytes, ...]:
        """The lines that end the running turn and cancel its open requests. A later line confirms the end."""
