"""Who said what a peer is told, and through whom it came: `via`, the limit of a chain, and the fence.

It decides how words reach a peer. When they do, it refuses to know.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.command import Principal
from rhetor.domain.event import ContextInjected
from rhetor.domain.peer import Peer
from rhetor.domain.plan import Answer, compose, fenced
from rhetor.drivers.base import Prompt
from rhetor.errors import HopLimit, UnknownPeer

if TYPE_CHECKING:
    from rhetor.hub.state import State


def nonce() -> str:
    """What no text can know that was said before."""
    return secrets.token_hex(8)


def passed_through(state: State, principal: Principal) -> tuple[str, ...]:
    """The peers that the caller's words have come through: none for a person; for what runs in a peer's
    program those of the message that the peer is answering, of several the longest way, and the peer."""
    name = principal.peer
    if name is None:
        return ()
    ways = (pending.via for pending in state.pending.values() if pending.peer == name)
    return (*max(ways, key=len, default=()), name)


def require_hops(via: Sequence[str], most: int) -> None:
    """Raises:
    HopLimit: with one more peer the chain would be longer than `most`."""
    if len(via) >= most:
        raise HopLimit(len(via) + 1, most)


def attributed(state: State, principal: Principal, content: str, to: Peer) -> str:
    """The caller's words as `to` is told them: those of a person as they are, those of a peer's program as
    data, with who said it."""
    name = principal.peer
    if name is None or to.reads_plain:
        return content
    return relayed(title_of(state, name), content, to)


def relayed(title: str, text: str, to: Peer) -> str:
    """What somebody said, as `to` is told it; a program that takes its input as it is gets the text alone."""
    return compose("", (("", Answer(title, text)),), nonce(), plain=to.reads_plain)


def title_of(state: State, name: str) -> str:
    """How a peer is shown, also one that is gone."""
    try:
        return state.peers.get(name).title
    except UnknownPeer:
        return name


def with_context(peer: Peer, prompt: Prompt) -> Prompt:
    """The prompt as the peer takes it: context apart from the message where it knows that, else in front."""
    if not prompt.context or peer.takes_envelopes:
        return prompt
    said = [text for each in prompt.context for text in _shown(peer, each)]
    return replace(prompt, content="\n\n".join([*said, prompt.content]), context=())


def _shown(peer: Peer, context: ContextInjected) -> Sequence[str]:
    if peer.reads_plain:
        return context.prompts
    heading = f"Context: {context.metadata.get('source') or 'its owner'}"
    return [fenced(heading, text, nonce()) for text in context.prompts]
