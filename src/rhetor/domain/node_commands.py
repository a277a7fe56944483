"""Commands that nodes give each other, and no client can send: what follows from accepted commands."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .command import SendMessage
from .event import Cause, MessageForwarded


class DeliverMessage(Struct, frozen=True, gc=False):
    """Send a message that follows from an accepted one. `message`: as its sender sends it. `fulfils`: a row
    of the catalog (kind, id, state) that is dropped in the same commit. The other fields are as in `send`."""

    message: SendMessage
    cause: Cause
    fulfils: tuple[str, str, str] | None = None
    counts: bool = True
    is_scheduled: bool = False


class StopTurn(Struct, frozen=True, gc=False):
    """End the running turn of a session: `how`, for the reason `why`, or by the one whose name that is.

    `turn_id`: only if it is this one; empty for any. `waiting_only`: a wrapped program is not interrupted.
    """

    session_id: str
    turn_id: str
    how: Literal["cancel", "interrupt"]
    why: str
    waiting_only: bool = False


class EndPrograms(Struct, frozen=True, gc=False):
    """End the caller's programs of a peer that run at the node. `force`: as in `EndProgram`."""

    name: str
    force: bool = False


class EndSession(Struct, frozen=True, gc=False):
    """Stop a session because of something else than a command about it."""

    session_id: str


class ShowAnswer(Struct, frozen=True, gc=False):
    """Show a forwarded answer in a terminal. `delivery`: its row in the outbox, which is dropped."""

    shown: MessageForwarded
    delivery: str


NodeCommand = DeliverMessage | EndPrograms | EndSession | ShowAnswer | StopTurn
