"""What a peer is told in front of a message: context that was promoted, once; its purpose, each time.

What is sent once is one commit with the message that it is sent with, so two messages at once, or a hub that
is killed, do not send it twice, nor lose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import ContextInjected
from rhetor.domain.peer import Peer
from rhetor.domain.rules import Context
from rhetor.domain.timestamps import timestamp
from rhetor.hub.catalog.routing_table import kind_of, place_id, row_of
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = kind_of(Context)


@dataclass(frozen=True, slots=True)
class Taken:
    """What is said in front of a message, and what is committed with that message for it."""

    payloads: tuple[ContextInjected, ...] = ()
    rows: tuple[Row, ...] = ()
    expects: tuple[Expect, ...] = ()
    place: tuple[str, str] | None = None


async def take(
    state: State, owner: str, peer: Peer, sender: str, also: Sequence[ContextInjected] = ()
) -> Taken:
    """What is said in front of the owner's next message to the peer: what was promoted, then `also`, then the
    purposes of the peer and of the terminal that sends it. To be committed with the message, and `settle`d
    after."""
    given = (*_for_readers(peer, also), *_purposes(state, owner, peer, sender))
    if (owner, peer.name) not in state.routing_table.promoted:
        return Taken(given)
    row = await state.store.get(KIND, place_id(owner, peer.name))
    context = msgspec.json.decode(row.doc, type=Context) if row else None
    if row is None or context is None or not context.next:
        return Taken(given)
    promoted = ContextInjected(context.next, {"source": context.source, "timestamp": timestamp(context.at)})
    left = row_of(replace(context, next=()))
    return Taken((promoted, *given), (left,), (row.unchanged,), (owner, peer.name))


def settle(state: State, taken: Taken) -> None:
    """The message is in the log, and what was said in front of it."""
    if taken.place is not None:
        state.routing_table.promoted.discard(taken.place)


def purpose_context(text: str, source: str, at: int) -> ContextInjected:
    """`at`: Unix time in milliseconds."""
    return ContextInjected((text,), {"source": source, "timestamp": timestamp(at)})


def _purposes(state: State, owner: str, peer: Peer, sender: str) -> Sequence[ContextInjected]:
    """`sender`: how it is shown; only that of a terminal of the owner's counts."""
    found: list[ContextInjected] = []
    if purpose := state.routing_table.purposes.get((owner, peer.name)):
        found.append(purpose_context(purpose.text, "purpose", purpose.at))
    if sender in state.routing_table.terminals and (
        purpose := state.routing_table.purposes.get((owner, sender))
    ):
        found.append(purpose_context(purpose.text, f"purpose of {sender}", purpose.at))
    return _for_readers(peer, found)


def _for_readers(peer: Peer, contexts: Sequence[ContextInjected]) -> Sequence[ContextInjected]:
    """A program that takes its input as it is would run, or count, what it is meant to understand."""
    return () if peer.reads_plain else contexts
