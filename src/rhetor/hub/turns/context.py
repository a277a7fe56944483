"""Context that is sent before a message: promoted context once, purposes with every message.

Promoted context is removed in the commit that stores its message. So it is neither sent twice nor lost if two
messages are sent at once or the hub crashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from rhetor.domain.event import ContextInjected
from rhetor.domain.peer import Peer
from rhetor.domain.rules import UNNAMED_TERMINAL, Context
from rhetor.domain.timestamps import timestamp
from rhetor.hub.catalog.routing_table import kind_of, place_id, row_of
from rhetor.store.base import Expect, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

KIND = kind_of(Context)


class MessageContext(msgspec.Struct, frozen=True):
    """The context of one message, and what must be committed with the message.

    `promoted_for`: the owner and the peer, if it includes promoted context.
    """

    payloads: tuple[ContextInjected, ...] = ()
    rows: tuple[Row, ...] = ()
    expects: tuple[Expect, ...] = ()
    promoted_for: tuple[str, str] | None = None


async def context_for(
    state: State, owner: str, peer: Peer, sender: str, also: Sequence[ContextInjected] = ()
) -> MessageContext:
    """Return the context of the owner's next message to the peer.

    It has the promoted context, then `also`, then the purposes of the peer and of the terminal `sender`. The
    caller commits it with the message, and calls `context_sent` afterwards.
    """
    given = (*_unless_plain(peer, also), *_purposes(state, owner, peer, sender))
    if (owner, peer.name) not in state.routing_table.promoted:
        return MessageContext(given)
    row = await state.store.get(KIND, place_id(owner, peer.name))
    context = msgspec.json.decode(row.doc, type=Context) if row else None
    if row is None or context is None or not context.next:
        return MessageContext(given)
    promoted = ContextInjected(context.next, {"source": context.source, "timestamp": timestamp(context.at)})
    emptied = row_of(replace(context, next=()))
    return MessageContext((promoted, *given), (emptied,), (row.unchanged,), (owner, peer.name))


def context_sent(state: State, context: MessageContext) -> None:
    """Update the routing table after the message and its context are committed."""
    if context.promoted_for is not None:
        state.routing_table.promoted.discard(context.promoted_for)


def purpose_context(text: str, source: str, at: int) -> ContextInjected:
    """Return the context that states a purpose. `at`: when it was set, as Unix time in milliseconds."""
    return ContextInjected((text,), {"source": source, "timestamp": timestamp(at)})


def _purposes(state: State, owner: str, peer: Peer, sender: str) -> Sequence[ContextInjected]:
    """Return the purposes of the peer and of the terminal `sender`; other senders have none."""
    found: list[ContextInjected] = []
    if purpose := state.routing_table.purposes.get((owner, peer.name)):
        found.append(purpose_context(purpose.text, "purpose", purpose.at))
    is_unnamed = UNNAMED_TERMINAL.fullmatch(sender) is not None
    if (is_unnamed or sender in state.routing_table.terminals) and (
        purpose := state.routing_table.purposes.get((owner, sender))
    ):
        source = f"purpose of {'the terminal' if is_unnamed else sender}"
        found.append(purpose_context(purpose.text, source, purpose.at))
    return _unless_plain(peer, found)


def _unless_plain(peer: Peer, contexts: Sequence[ContextInjected]) -> Sequence[ContextInjected]:
    """Return no contexts for a peer that reads plain text, which would process them as input."""
    return () if peer.reads_plain else contexts
