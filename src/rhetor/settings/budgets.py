"""The budgets that the settings define."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rhetor.domain.budget import MEASURES, PEER, Budget
from rhetor.domain.peer import Peer

from .sections import BudgetSettings, Settings
from .validation import InvalidValue, Keys


def budgets_of(settings: Settings, peers: Iterable[Peer]) -> Sequence[Budget]:
    """Return the configured budgets. `peers`: those that are configured.

    Raises:
        InvalidValue: a budget has no limit, or names a peer that does not exist, has no tokens, or is its own
            fallback.
    """
    known = {peer.name.lower(): peer for peer in peers}
    found: dict[str, Budget] = {}
    for key, own in settings.budgets.items():
        budget = _budget(key, own, known)
        if budget.name in found:
            raise InvalidValue(("budgets", key), "is there twice")
        found[budget.name] = budget
    return list(found.values())


def _budget(key: str, own: BudgetSettings, known: Mapping[str, Peer]) -> Budget:
    kind, _, name = key.partition(".")
    named = f"{PEER}.{_peer(known, name, ('budgets', key))}" if kind == PEER else key
    fallback = own.fallback and _peer(known, own.fallback, ("budgets", key, "on_limit"))
    if fallback and named == f"{PEER}.{fallback}":
        raise InvalidValue(("budgets", key, "on_limit"), "must name another peer")
    budget = Budget(named, own.usd_per_day, own.usd_per_month, own.tokens_per_day, fallback)
    if not budget.limits:
        raise InvalidValue(("budgets", key), f"must have {', '.join(MEASURES[:-1])} or {MEASURES[-1]}")
    return budget


def _peer(known: Mapping[str, Peer], name: str, keys: Keys) -> str:
    """Return the name as it is written, if it is the name of a peer in upper or lower case."""
    if (found := known.get(name.lower())) is None:
        raise InvalidValue(keys, f"no peer is called {name[:100]!r}")
    if not found.spends:
        raise InvalidValue(keys, f"{found.name} has no tokens of its own; name a model or a coding agent")
    return found.name
