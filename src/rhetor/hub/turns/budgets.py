"""Reserves in the budgets what a call may take, and decides what follows if a limit is reached.

Then another peer answers, or the turn is paused and a person is asked. A paused turn also continues when its
budgets have room again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rhetor.domain.budget import (
    Reached,
    Standing,
    amount_text,
    event_of,
    names_for,
    raised,
    shown,
    with_limit,
)
from rhetor.domain.budget_ledger import Reservation, estimate
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import PassedOn
from rhetor.domain.peer import Peer
from rhetor.hub.catalog.budgets import KIND, row
from rhetor.hub.catalog.pauses import Question, Raise
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.commits import commit_until_accepted

from . import pauses
from .pauses import PausedTurn
from .quotas import can_be_called, other_agents

if TYPE_CHECKING:
    from rhetor.hub.state import State
    from rhetor.hub.turns.pending import PendingRequests

RAISE = "raise"  # the id of an option
ROOM = "budget"  # the value of `by` if room in the budgets answered the request
SETTLE_SECONDS = 10.0  # how long a turn waits for others that have reserved the rest of a limit
TICK_SECONDS = 60.0  # timers do not count the time in which a machine is suspended
AGAIN_SECONDS = 0.1  # at most, after which a call that another node was in the way of is tried again
OFFERED_PEERS = 2


class BudgetedCall:
    """What one turn reserves in its budgets. `excused`: the names of budgets that somebody decided to exceed
    for this turn."""

    def __init__(self, state: State, pending: PendingRequests, characters: int) -> None:
        self._state = state
        self._pending = pending
        self._characters = characters
        self.excused: set[str] = set()

    async def reserve(self, peer: Peer, called: Sequence[str]) -> Question | PassedOn | None:
        """Reserve what a call of the peer may take. If a limit is reached, return what to ask, or which peer
        answers instead. `called`: the peers that were to be called for the turn."""
        reached = await self._reached(peer)
        if reached is None:
            return None
        other = reached.fallback
        if other is not None and other not in called and can_be_called(self._state, other):
            self.excused.add(reached.standing.name)
            return PassedOn(other, event_of(reached.standing, "fallback", other))
        return self._question(peer, reached, called)

    async def watch(self, paused: PausedTurn, peer: Peer) -> None:
        """Reserve what a paused call may take when its budgets have room again, and continue the turn."""
        state = self._state
        while True:
            changed = state.budgets.changed.next()
            if await self._try_at_all_nodes(peer) is None:
                await paused.choose(pauses.CONTINUE, ROOM)
                return
            left = (paused.pause.question.resets_at or 0) / 1000 - state.ids.now() / 1000
            await _wait(changed, min(max(left, 1.0), TICK_SECONDS))

    async def follow(self, paused: PausedTurn) -> None:
        """Apply what was chosen for a paused turn."""
        offer = paused.pause.question.raises
        if offer is None or paused.by == ROOM:
            return
        if paused.chosen == RAISE:
            await raise_limit(self._state, offer)
        else:
            self.excused.add(offer.name)

    def try_to_reserve(self, peer: Peer) -> Reached | None:
        """Reserve what a call of the peer may take, or return a limit that is reached."""
        state, pending = self._state, self._pending
        amount = estimate(state.peer_statistics.of(peer.name), self._characters)
        names = names_for(peer.name, pending.project, pending.caller)
        wanted = Reservation(names, amount, peer.name, pending.cause.origin)
        now = state.ids.now()
        return state.budgets.reserve(pending.turn_id, wanted, now, above=pending.via, excused=self.excused)

    async def _try_at_all_nodes(self, peer: Peer) -> Reached | None:
        """Do as `try_to_reserve`. If another node reserves at the same time so that a limit is reached,
        nothing is reserved here, and an attempt a moment later may succeed."""
        reached = self.try_to_reserve(peer)
        if reached is not None or not self._state.budgets or not await self._state.budgets.confirm():
            return reached
        reached = self.try_to_reserve(peer)
        if reached is not None and not reached.is_spent:
            await asyncio.sleep(random.uniform(0, AGAIN_SECONDS))
            reached = self.try_to_reserve(peer)
            if reached is None and await self._state.budgets.confirm():
                reached = self.try_to_reserve(peer)
        return reached

    async def _reached(self, peer: Peer) -> Reached | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while True:
            changed = self._state.budgets.changed.next()
            reached = await self._try_at_all_nodes(peer)
            left = deadline - loop.time()
            if reached is None or reached.is_spent or left <= 0:
                return reached
            await _wait(changed, left)

    def _question(self, peer: Peer, reached: Reached, called: Sequence[str]) -> Question:
        standing = reached.standing
        wanted = estimate(self._state.peer_statistics.of(peer.name), self._characters)
        limit = raised(standing, wanted.measured(standing.measure))
        options = (
            PermissionOption(pauses.CONTINUE, "Continue once", "allow_once"),
            PermissionOption(RAISE, f"Raise to {amount_text(standing.measure, limit)}", "allow_always"),
            *map(pauses.peer_option, other_peers(self._state, peer, called)),
            pauses.stop_option(),
        )
        amounts = (shown(standing.measure, each) for each in (standing.limit, standing.spent, limit))
        raises = Raise(standing.name, standing.measure, *amounts)
        return Question("budget", _reason(standing), options, standing.resets_at, raises=raises)


async def raise_limit(state: State, offer: Raise) -> None:
    """Set a limit of a budget to a higher value, for good. No effect if it is as high already, or if the
    budget has no such limit any more."""
    measure, limit = offer.limit, Decimal(offer.raise_to)
    async with state.exclusively(KIND):
        budget = state.budgets.get(offer.name)
        current = dict(budget.limits).get(measure) if budget else None
        if budget is None or current is None or current >= limit:
            return
        budget = with_limit(budget, measure, limit)
        await commit_until_accepted(state.store, HUB_STREAM, [], [row(budget, state.ids.now())])
        state.budgets.put(budget)


def other_peers(state: State, peer: Peer, called: Sequence[str]) -> list[str]:
    """Return the peers to offer instead: for an agent, other agents that have answered before; and the models
    with the peer's best capability, and the default peer."""
    agents = other_agents(state, peer, called) if peer.remembers else []
    best = sorted(peer.capabilities, key=lambda c: (not c.primary, -c.score))[:1]
    found = [match.peer for capability in best for match in state.peers.ranked(capability.name)]
    if state.peers.has(state.limits.default_peer):
        found.append(state.peers.get(state.limits.default_peer))
    models = (each.name for each in found if each.spends and each.program is None)
    names = dict.fromkeys((*agents[:1], *models))
    return [name for name in names if name not in (peer.name, *called)][:OFFERED_PEERS]


def _reason(standing: Standing) -> str:
    if standing.is_spent:
        return f"the budget {standing.name} is used up: {standing}"
    return f"the rest of the budget {standing.name} is reserved for running turns: {standing} are used"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
