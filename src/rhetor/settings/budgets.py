"""The budgets that the settings define."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rhetor.domain.budget import PEER, Budget
from rhetor.domain.peer import Peer

from .sections import Settings
from .validation import InvalidValue


def budgets_of(settings: Settings, peers: Iterable[Peer]) -> Sequence[Budget]:
    """Return the configured budgets. `peers`: those that are configured.

    Raises:
        InvalidValue: a budget names a peer that does not exist, or is a fallback for itself.
    """
    names = {peer.name.lower(): peer.name for peer in peers}
    found: list[Budget] = []
    for key, own in settings.budgets.items():
        kind, _, name = key.partition(".")
        if kind == PEER:
            key = f"{PEER}.{_known(names, name, ('budgets', key))}"
        fallback = own.fallback
        if fallback is not None:
            fallback = _known(names, fallback, ("budgets", key, "on_limit"))
            if key == f"{PEER}.{fallback}":
                raise InvalidValue(("budgets", key, "on_limit"), "must name another peer")
        if any(budget.name == key for budget in found):
            raise InvalidValue(("budgets", key), "is there twice")
        found.append(Budget(key, own.usd_per_day, own.usd_per_month, own.tokens_per_day, fallback))
    return found


def _known(names: dict[str, str], name: str, keys: tuple[str, ...]) -> str:
    """Return the name as it is written, if it is the name of a peer in upper or lower case."""
    if (found := names.get(name.lower())) is None:
        raise InvalidValue(keys, f"no peer is called {name[:100]!r}")
    return found
