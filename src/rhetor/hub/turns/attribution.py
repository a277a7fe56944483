"""Attribution: how one peer's text is presented to another, and which peers a message has passed through.

This module decides how text reaches a peer, not when.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from rhetor.domain.event import Cause, ContextInjected
from rhetor.domain.peer import Peer
from rhetor.domain.plan import Answer, compose, fenced
from rhetor.domain.principal import Answering, Principal
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.errors import HopLimit, UnknownPeer
from rhetor.hub.programs.now import open_turns

if TYPE_CHECKING:
    from rhetor.hub.state import State

ELSEWHERE = "elsewhere"  # among the peers that a message has passed through: one of another hub
RETOLD_CHARACTERS = 200_000  # of an earlier conversation that an agent is told
# Why a peer is told the earlier conversation: it was restored, another peer had it, or others answered since.
Retelling = Literal["restored", "taken over", "missed"]
_HEADINGS: dict[Retelling, str] = {
    "restored": "The conversation so far, which continues with the message below",
    "taken over": "The conversation so far with another assistant, which continues with the message below",
    "missed": "What was said meanwhile with another assistant, before the message below",
}


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
    if principal.answering is not None:
        return principal.answering.via
    paths = (turn.via for turn in open_turns(state) if turn.peer == name)
    return (*max(paths, key=len, default=()), name)


def elsewhere(hops: int, limit: int) -> tuple[str, ...]:
    """Return what stands for the peers of other hubs that a message has passed through. `limit`: of hops;
    more are not counted."""
    return (ELSEWHERE,) * min(hops, limit)


def cause_of(state: State, principal: Principal) -> Cause | None:
    """Return the original from which the caller's message follows; None if the message is one itself.

    A message of a peer's program follows from the message that the peer is answering.
    """
    if principal.answering is not None:
        return principal.answering.cause
    name = principal.peer
    answering = [turn for turn in open_turns(state) if turn.peer == name] if name else []
    return max(answering, key=lambda turn: len(turn.via)).onward if answering else None


def at_other_nodes(state: State, principal: Principal) -> Principal:
    """Return the caller as other nodes see it: with what it is answering, if it is a peer's program."""
    if principal.peer is None or principal.answering is not None:
        return principal
    answering = Answering(passed_through(state, principal), cause_of(state, principal))
    return replace(principal, answering=answering)


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


def retelling(prompt: Prompt, past: Sequence[PastMessage], why: Retelling = "restored") -> Prompt:
    """Return the prompt for an agent that does not know a part of the conversation, with what was said there.

    The oldest messages are left out if there are too many, and the prompt says so.
    """
    author = "You" if why == "restored" else "Assistant"
    kept = most_recent(past)
    told = [f"{author if message.role == 'assistant' else 'User'}: {message.content}" for message in kept]
    if len(kept) < len(past):
        told.insert(0, "(Earlier messages are left out.)")
    part = fenced(_HEADINGS[why], "\n\n".join(told), nonce())
    return replace(prompt, content=f"{part}\n\n{prompt.content}")


def most_recent(past: Sequence[PastMessage]) -> Sequence[PastMessage]:
    """Return the last messages, as many as an agent is told."""
    size = 0
    for number, message in enumerate(reversed(past)):
        size += len(message.content)
        if size > RETOLD_CHARACTERS:
            return past[len(past) - number :]
    return past


def continuing(prompt: Prompt, said: str, by: Peer | None) -> Prompt:
    """Return the prompt for an agent that continues an answer which a usage limit interrupted.

    `said`: the answer so far. `by`: the peer that began it; None if the agent itself did, and remembers it.
    """
    if by is None:
        heading = "A usage limit interrupted your answer to the message below. Continue where you stopped."
        return replace(prompt, content=f"{heading}\n\n{prompt.content}")
    heading = f"{by.title} began to answer the message below, and reached its usage limit. Continue its work."
    part = fenced(f"{by.title} said so far", said, nonce()) if said.strip() else ""
    return replace(prompt, content="\n\n".join(filter(None, (heading, part, prompt.content))))


def _presented(peer: Peer, context: ContextInjected) -> Sequence[str]:
    if peer.reads_plain:
        return context.prompts
    heading = f"Context: {context.metadata.get('source') or 'its owner'}"
    return [fenced(heading, text, nonce()) for text in context.prompts]
