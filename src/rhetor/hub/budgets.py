"""Budgets that are set while the hub runs. They are durable, and replace configured ones of the same name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.budget import NAME, PEER, Budget
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.domain.rule_commands import PutBudget, RemoveBudget
from rhetor.errors import BudgetConfigured, NotFound, StateConflict, Unprocessable
from rhetor.hub.catalog.budgets import KIND, SET, row
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_person
from rhetor.hub.programs.ownership import peers_for
from rhetor.store.base import Expect

if TYPE_CHECKING:
    from rhetor.hub.state import State


async def put(state: State, principal: Principal, command: PutBudget) -> Budget:
    """Set a budget, from the next call on. Turns that wait for room in it continue if they have it now.

    Raises:
        Forbidden: the caller is a peer's program.
        Unprocessable: the name is invalid, there is no limit, or a peer has no tokens of its own.
        UnknownPeer: there is no peer of this name.
        StoreRefused, ShuttingDown: nothing was stored; the command may be sent again.
    """
    state.require_open()
    require_person(principal)
    budget = _checked(state, principal, command.budget)
    async with state.exclusively(KIND):
        await state.store.commit(HUB_STREAM, [], rows=[row(budget, state.ids.now())])
        state.budgets.put(budget)
    return budget


async def remove(state: State, principal: Principal, command: RemoveBudget) -> Budget | None:
    """Remove a budget that was set, and return the configured one that is in force again, if there is one.

    Raises:
        Forbidden: the caller is a peer's program.
        BudgetConfigured: the budget is defined in the configuration.
        NotFound: there is no such budget.
        StoreRefused: nothing was changed; the command may be sent again.
    """
    require_person(principal)
    name = command.name
    if state.budgets.is_configured(name) and not state.budgets.is_set(name):
        raise BudgetConfigured(name)
    async with state.exclusively(KIND):
        try:
            expect = Expect(KIND, name, frozenset({SET}))
            await state.store.commit(HUB_STREAM, [], expects=[expect], drop=[(KIND, name)])
        except StateConflict:
            raise NotFound("budget", name) from None
        state.budgets.remove(name)
        return state.budgets.get(name)


def _checked(state: State, principal: Principal, budget: Budget) -> Budget:
    """Return the budget with the names of peers as they are written."""
    if not re.fullmatch(NAME, budget.name):
        raise Unprocessable("name: must be `global`, `peer.NAME`, `project.NAME` or `caller.NAME`")
    if not budget.limits:
        raise Unprocessable("give usd_per_day, usd_per_month or tokens_per_day")
    kind, _, name = budget.name.partition(".")
    if kind == PEER:
        peer = _spending(state, principal, name, "name")
        budget = replace(budget, name=f"{PEER}.{peer.name}")
    if budget.fallback is not None:
        peer = _spending(state, principal, budget.fallback, "on_limit")
        if budget.name == f"{PEER}.{peer.name}":
            raise Unprocessable("on_limit: must name another peer")
        budget = replace(budget, fallback=peer.name)
    return budget


def _spending(state: State, principal: Principal, name: str, where: str) -> Peer:
    """Return a peer whose calls take tokens."""
    peer = peers_for(state, principal).get(name)
    if not peer.spends:
        raise Unprocessable(f"{where}: {peer.name} has no tokens of its own; name a model or a coding agent")
    return peer
