"""How the hub sees every kind of peer: a driver opens conversations, a conversation answers messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rhetor.domain.output import Output
from rhetor.domain.peer import Peer
from rhetor.domain.tool import Tool


@dataclass(frozen=True, slots=True)
class Said:
    """One earlier message of a conversation, oldest first in a history."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The message to answer. `execute` and `delimiter` matter to programs only; `tools` are the sender's."""

    content: str
    execute: bool = False
    delimiter: str | None = None
    tools: tuple[Tool, ...] = ()


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
