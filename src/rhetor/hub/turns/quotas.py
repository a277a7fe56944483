"""Decides what happens to a turn whose peer has reached a usage limit that resets at a known time.

`on_pause` of the peer, or else of the hub, says what: a person is asked, the turn continues at that time by
itself, or another peer answers it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import PermissionOption, QuotaPaused
from rhetor.domain.output import PassedOn
from rhetor.domain.peer import Peer
from rhetor.domain.quota import CONTINUE, HANDOVER, RESETS_AT, paused_until, shown_time
from rhetor.domain.timestamps import timestamp
from rhetor.errors import ProviderFailed
from rhetor.hub.catalog.pauses import Question
from rhetor.hub.programs.instances import instances_of
from rhetor.hub.programs.lifecycle import is_configured

from . import pauses

if TYPE_CHECKING:
    from rhetor.hub.state import State

OFFERED_PEERS = 3


def after_limit(
    state: State, peer: Peer, failure: ProviderFailed, *, begun: bool, called: Sequence[str]
) -> Question | PassedOn | None:
    """Return what to ask, or which peer answers instead; None if the turn fails with `failure`.

    A failure without a time, or with an impossible one, is not a quota that resets. `begun`: the peer had
    begun to answer. A model cannot continue an answer, so its turn fails then; an agent continues in its own
    conversation. `called`: the peers that have been called for the turn.
    """
    resets_at = paused_until(failure.data.get(RESETS_AT), state.ids.now())
    if resets_at is None or (begun and not peer.remembers):
        return None
    policy = peer.on_pause or state.limits.on_pause
    other = policy.removeprefix(HANDOVER) if policy.startswith(HANDOVER) else ""
    if other and other not in called and can_be_called(state, other):
        return PassedOn(state.peers.get(other).name, QuotaPaused(timestamp(resets_at), failure.detail))
    question = Question("quota", failure.detail, (), resets_at)
    if policy == CONTINUE:
        return scheduled(state, peer, question, called)
    at = shown_time(resets_at)
    options = [
        PermissionOption(pauses.CONTINUE, f"Continue when the limit resets ({at})", "allow_once"),
        PermissionOption(pauses.NOW, "Try again now", "allow_once"),
        *_other_ways(state, peer, called),
    ]
    return replace(question, options=tuple(options))


def after_answer(
    state: State, peer: Peer, question: Question, chosen: str, called: Sequence[str]
) -> Question | None:
    """Return the question that follows the answer: the turn waits until the limit resets, unless somebody
    decides otherwise. None if it continues now."""
    if chosen != pauses.CONTINUE or question.resets_at is None or question.resets_at <= state.ids.now():
        return None
    return replace(scheduled(state, peer, question, called), follows=True)


def scheduled(state: State, peer: Peer, question: Question, called: Sequence[str]) -> Question:
    """Return the question of a turn that continues automatically when the limit resets."""
    options = [
        PermissionOption(pauses.NOW, "Continue now", "allow_once"),
        *_other_ways(state, peer, called),
    ]
    return replace(question, options=tuple(options), then=pauses.NOW)


def _other_ways(state: State, peer: Peer, called: Sequence[str]) -> list[PermissionOption]:
    others = other_agents(state, peer, called)
    return [*map(pauses.peer_option, others), pauses.stop_option()]


def other_agents(state: State, peer: Peer, called: Sequence[str]) -> list[str]:
    """Return the coding agents to offer: those that have answered before, and have not been called for the
    turn."""
    known = [
        other.name
        for other in state.peers
        if other.remembers
        and other.name not in (peer.name, *called)
        # an agent that has answered is logged in
        and state.peer_statistics.of(other.name).answered
        and can_be_called(state, other.name)
    ]
    return known[:OFFERED_PEERS]


def can_be_called(state: State, name: str) -> bool:
    """Whether there is such a peer, and its program is installed or running."""
    if not state.peers.has(name):
        return False
    peer = state.peers.get(name)
    if peer.program is None:
        return True
    if not is_configured(state, peer.name):  # it cannot be started again for another conversation
        return peer.name in state.instances
    if instances_of(state, peer.name):
        return True
    if peer.machine:  # which offers only what is installed
        return state.machines.is_here(peer)
    path = state.launches(peer, None).env.get("PATH")
    return shutil.which(peer.program.argv[0], path=path) is not None
