"""What nodes send each other through the log: commands, and their results.

Each node has a stream of its own for them, which no client can read.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import UNSET, Struct, UnsetType

_FROM = {"from_": "from"}


def mailbox_of(node: str) -> str:
    """Return the stream with what is sent to a node."""
    return f"node:{node}"


class CommandRequested(Struct, frozen=True, gc=False, rename=_FROM):
    """A node asks another one to execute a command for a caller.

    `from_`: the node that gets the answer. `fence`: the number of the lease under which the other node
    executes it; a later start of that node does not. `command`: the name of its type, `body` the command, and
    `principal` the caller. `api`: how the caller reached the first node.
    """

    type: ClassVar[Literal["command.requested"]] = "command.requested"
    id: str
    from_: str
    fence: int
    principal: dict[str, Any]
    command: str
    body: Any
    api: str = ""


class MailboxClosed(Struct, frozen=True, gc=False):
    """The node whose mailbox this is has shut down, under the lease with the number `fence`. It has executed
    nothing that came after the event with the number `read`."""

    type: ClassVar[Literal["command.closed"]] = "command.closed"
    fence: int
    read: int


class Rejection(Struct, frozen=True, gc=False):
    """An error as one node tells another. `name`: of its class. `members`: what it has besides what its class
    declares. The other members are for a node that does not know the class."""

    name: str
    detail: str
    data: dict[str, Any]
    code: str
    status: int
    rpc: int
    close: int | None = None
    retryable: bool = False
    members: dict[str, Any] = {}


class CommandAnswered(Struct, frozen=True, gc=False):
    """The command `id` has the result `result`, any JSON value, or it was rejected."""

    type: ClassVar[Literal["command.answered"]] = "command.answered"
    id: str
    result: Any = None
    error: Rejection | UnsetType = UNSET
