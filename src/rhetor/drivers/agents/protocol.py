"""How a coding agent is spoken to, as a state machine without I/O: lines in, outputs and lines to write out.

One protocol is one conversation in one process. Who runs it writes the lines, reads the program's, keeps what
is to be remembered, and knows sessions and turns; a protocol knows its agent's protocol alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from rhetor.domain.output import Plain
from rhetor.errors import TurnFailure

from .reports import Report

COPY_OF = "copy_of"  # in a kept memory: that of the conversation which is to be copied, until it was
REPORTED = "reported"


class Decoded(Struct, frozen=True):
    """What a line means. `outputs`: for the log, in order, a `Record` of the line as it came among them;
    `writes`: lines for the program, without newline; `ended`: the running turn is over, with `failure` where
    it has no answer (an interrupted one: a failure whose code is `interrupted`), else with the
    `finish_reason` of `Done`."""

    outputs: tuple[Plain, ...] = ()
    writes: tuple[bytes, ...] = ()
    ended: bool = False
    failure: TurnFailure | None = None
    finish_reason: str = "stop"


class Opening(Struct, frozen=True):
    """What a conversation begins with. `memory`: of an earlier process of it, empty for a new one; `fork`: go
    on from there as another conversation; `model`: the agent's own name for one, None for its default.
    `persona`: it is to be a plain model with this system prompt, without tools as far as it can be told so,
    and for this process only."""

    cwd: str
    memory: dict[str, Any] = field(default_factory=dict)
    fork: bool = False
    model: str | None = None
    persona: str | None = None


class AgentProtocol(ABC):
    """`memory`: what another process, or another hub, needs to go on (the agent's own id of the conversation
    first of all, as `session_id`): small, JSON, and changed only within the methods here. `reported`: what
    the agent tells of itself (reports).

    A protocol never raises on what an agent says: what it does not know becomes a `Record` and nothing else.
    """

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.refused: TurnFailure | None = None  # why it does not go on with the conversation that it was to
        self.memory: dict[str, Any] = {} if opening.fork else dict(opening.memory)
        self.reported: Report = self.memory.pop(REPORTED, {})

    def can_fork(self) -> bool:
        """Whether the agent can go on with a copy of the conversation, as far as is known."""
        return False

    @property
    def has_copy(self) -> bool:
        """Whether what its original says from now on is no part of the conversation any more."""
        return "session_id" in self.memory

    @property
    def saved(self) -> dict[str, Any]:
        """What an `Opening` is to have for `memory`. One that goes on with a copy needs the original until it
        has its own."""
        kept = {**self.memory, REPORTED: dict(self.reported)} if self.reported else dict(self.memory)
        if self.opening.fork and "session_id" not in self.memory:
            kept[COPY_OF] = self.opening.memory
        return kept

    @abstractmethod
    def arguments(self) -> tuple[str, ...]:
        """What is appended to the configured arguments of the program."""

    def command(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """What is run. `argv`: the program's file, and its configured arguments."""
        return (*argv, *self.arguments())

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """All that it sees of one. `given`: what its entry lets through."""
        return given

    @abstractmethod
    def opening_lines(self) -> tuple[bytes, ...]:
        """The lines that the program is sent once it runs."""

    @abstractmethod
    def resume(self, in_turn: bool, asked: dict[str, Any]) -> None:
        """Continue with a program that an earlier hub started: `memory` is set, and `opening_lines` were sent
        then. `in_turn`: a turn is running. `asked`: the open permission requests, by id, with their
        `detail`."""

    @abstractmethod
    def prompt(self, content: str) -> tuple[bytes, ...]:
        """Begin a turn. Where the agent is not ready yet, nothing: the lines come with what makes it so."""

    @abstractmethod
    def decode(self, line: bytes) -> Decoded:
        """One line of its output, without its newline."""

    @abstractmethod
    def answer(self, request_id: str, option_id: str | None) -> tuple[bytes, ...]:
        """The option chosen for a permission request; None: it was cancelled or has expired."""

    @abstractmethod
    def interrupt(self) -> tuple[bytes, ...]:
        """End the running turn; requests that wait are answered as cancelled. What it says next tells that it
        ended."""
