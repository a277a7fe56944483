"""Budgets: `/api/v2/budgets`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rhetor.domain.budget import CALLER, PEER, PROJECT, Budget, Measure, Standing, shown
from rhetor.domain.principal import ADMIN
from rhetor.domain.rule_commands import PutBudget, RemoveBudget
from rhetor.domain.timestamps import timestamp
from rhetor.errors import NotFound
from rhetor.hub.sessions.projects import owned_project
from rhetor.hub.state import State
from rhetor.transports.server.call import Call

from .bodies import BudgetBody, BudgetName

TOKENS: Measure = "tokens_per_day"


async def list_budgets(call: Call) -> dict[str, Any]:
    """List the budgets in force, with what is spent and reserved. Callers without the scope admin see their
    own budget, and those of their projects."""
    budgets = sorted(call.hub.state.budgets, key=_order)
    return {"budgets": [_shape(call, budget) for budget in budgets if await _may_see(call, budget.name)]}


async def one_budget(call: Call, name: str) -> dict[str, Any]:
    """Return a budget with what is spent and reserved."""
    budget = call.hub.state.budgets.get(name)
    if budget is None or not await _may_see(call, name):
        raise NotFound("budget", name)
    return _shape(call, budget)


async def put_budget(call: Call, name: BudgetName, body: BudgetBody) -> dict[str, Any]:
    """Set a budget, from the next call on. It replaces a configured one until it is removed."""
    return _shape(call, await call.execute(PutBudget(body.budget(name))))


async def remove_budget(call: Call, name: str) -> dict[str, Any]:
    """Remove a budget that was set. If the configuration has one of this name, it is in force again."""
    again = await call.execute(RemoveBudget(name))
    return {"name": name, "status": "removed", "configured": again and _shape(call, again)}


async def _may_see(call: Call, name: str) -> bool:
    if call.who.has(ADMIN) or name == f"{CALLER}.{call.who.subject}":
        return True
    kind, _, project = name.partition(".")
    if kind != PROJECT:
        return False
    try:
        await owned_project(call.hub.state, call.who, project)
    except NotFound:
        return False
    return True


def _order(budget: Budget) -> tuple[bool, str]:
    return budget.name != "global", budget.name


def _shape(call: Call, budget: Budget) -> dict[str, Any]:
    state = call.hub.state
    limits = state.budgets.standings(budget.name, state.ids.now())
    return {
        "name": budget.name,
        "usd_per_day": _text(budget.usd_per_day),
        "usd_per_month": _text(budget.usd_per_month),
        "tokens_per_day": budget.tokens_per_day,
        "on_limit": {"fallback": budget.fallback} if budget.fallback else "ask",
        "source": "api" if state.budgets.is_set(budget.name) else "configuration",
        "limits": [_limit(standing) for standing in limits],
        "note": _note(state, budget, limits),
    }


def _limit(standing: Standing) -> dict[str, Any]:
    measure = standing.measure
    return {
        "limit": measure,
        "value": shown(measure, standing.limit),
        "spent": shown(measure, standing.spent),
        "reserved": shown(measure, standing.reserved),
        "share": round(standing.share, 4),
        "period": standing.period,
        "starts_at": timestamp(standing.starts_at),
        "resets_at": timestamp(standing.resets_at),
        "unpriced_turns": standing.unpriced,
    }


def _note(state: State, budget: Budget, limits: Sequence[Standing]) -> str | None:
    """Return what the limits do not count; None if that is nothing."""
    kind, _, name = budget.name.partition(".")
    stats = state.peer_statistics.of(name)
    if kind == PEER and stats.answered and not stats.metered:
        return f"{name} reports no tokens, so its turns do not count"
    unpriced = max((limit.unpriced for limit in limits if limit.measure != TOKENS), default=0)
    if not unpriced:
        return None
    turns = "1 turn has" if unpriced == 1 else f"{unpriced:,} turns have"
    counts = "counts" if unpriced == 1 else "count"
    return f"{turns} no known price and {counts} 0 USD; add the model to models.prices, or set tokens_per_day"


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd:f}"
