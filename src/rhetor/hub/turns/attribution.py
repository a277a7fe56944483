"""Attribution: how one peer's text is presented to another, and which peers a message has passed through.

This module decides how text reaches a peer, not when.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.command import Principal
from rhetor.domain.event import Cause, ContextInjected
from rhetor.domain.peer import Peer
from rhetor.domain.plan import Answer, compose, fenced
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import HopLimit, UnknownPeer

if TYPE_CHECKING:
    from rhetor.hub.state import State

RETOLD_CHARACTERS = 200_000  # of an earlier conversation that an agent is told


def nonce() -> str:
    """Return a random mark for fence lines, which no earlier text can contain."""
    return secrets.token_hex(8)


def passed_through(state: State, principal: Principal) -> tuple[str, ...]:
    """Return the peers that the caller's message has passed through.

    The result is empty for a person. For a peer's program it is the path of the message that the peer is
    answering, followed by the peer. If the peer is answering several messages, the longest path counts.
    """
    name = principal.peer
    if name is None:
        return ()
    paths = (pending.via for pending in state.pending.values() if pending.peer == name)
    return (*max(paths, key=len, default=()), name)


def cause_of(state: State, principal: Principal) -> Cause | None:
    """Return the original from which the caller's message follows; None if the message is one itself.

    A message of a peer's program follows from the message that the peer is answering.
    """
    name = principal.peer
    answering = [pending for pending in state.pending.values() if pending.peer == name] if name else []
    return max(answering, key=lambda pending: len(pending.via)).cause if answering else None


def require_hops(via: Sequence[str], limit: int) -> None:
    """Check that a message that came through the peers `via` may be sent to one more peer.

    Raises:
        HopLimit: with one more peer, the path would have more than `limit` peers.
    """
    if len(via) >= limit:
        raise HopLimit(len(via) + 1, limit)


def attributed(state: State, principal: Principal, content: str, to: Peer) -> str:
    """Return the caller's text as it is sent to the peer `to`.

    Text from a person is unchanged. Text from a peer's program is fenced as data and names its author, unless
    `to` reads its input as plain text.
    """
    name = principal.peer
    if name is None or to.reads_plain:
        return content
    return relayed(title_of(state, name), content, to)


def relayed(title: str, text: str, to: Peer) -> str:
    """Return a peer's text as it is sent to the peer `to`: fenced, under a heading with the author's `title`.

    A program that reads its input as plain text receives the text alone.
    """
    return compose("", (("", Answer(title, text)),), nonce(), plain=to.reads_plain)


def title_of(state: State, name: str) -> str:
    """Return the display name of a peer; the plain name if the peer no longer exists."""
    try:
        return state.peers.get(name).title
    except UnknownPeer:
        return name


def with_context(peer: Peer, prompt: Prompt) -> Prompt:
    """Return the prompt with its context in the form that the peer accepts.

    The context stays separate for peers that accept it separately; otherwise it is put before the message.
    """
    if not prompt.context or peer.takes_envelopes:
        return prompt
    texts = [text for context in prompt.context for text in _presented(peer, context)]
    return replace(prompt, content="\n\n".join([*texts, prompt.content]), context=())


def retelling(prompt: Prompt, past: Sequence[PastMessage]) -> Prompt:
    """Return the prompt for an agent that begins a new conversation, with what was said in the earlier one.

    The oldest messages are left out if there are too many, and the prompt says so.
    """
    told: list[str] = []
    size = 0
    for message in reversed(past):
        text = f"{'You' if message.role == 'assistant' else 'User'}: {message.content}"
        size += len(text)
        if size > RETOLD_CHARACTERS:
            told.append("(Earlier messages are left out.)")
            break
        told.append(text)
    heading = "The conversation so far, which continues with the message below"
    return replace(
        prompt, content="\n\n".join([fenced(heading, "\n\n".join(reversed(told)), nonce()), prompt.content])
    )


def _presented(peer: Peer, context: ContextInjected) -> Sequence[str]:
    if peer.reads_plain:
        return context.prompts
    heading = f"Context: {context.metadata.get('source') or 'its owner'}"
    return [fenced(heading, text, nonce()) for text in context.prompts]
