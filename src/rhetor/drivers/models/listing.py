"""Which models exist: those that the providers list now, and those that peers use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from rhetor.domain.parts import Take
from rhetor.drivers.agents.inputs import agent_inputs
from rhetor.drivers.models.agent_models import AgentModels
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.inputs import ModelInputs
from rhetor.drivers.models.prices import Price, Prices
from rhetor.drivers.models.resolve import AUTO, OFFLINE, Models
from rhetor.drivers.models.target import AgentTarget, Provider, Target
from rhetor.errors import ProviderFailed, TurnFailure

SECONDS = 1.5  # for each provider; the others are listed without it
_FREE: dict[str, str | None] = {"input_per_1m": "0", "output_per_1m": "0", "cached_per_1m": None}
ORDER: tuple[Take, ...] = ("image", "pdf", "audio")


class ListedModel(msgspec.Struct):
    """A model. `takes`: `text` and what else it takes; None if only the running agent knows. `json`: it gives
    answers by a schema. `price`: in USD per million tokens; None if it is unknown. `peers`: the specialists
    that use it. `is_default`: `auto` means it. `error`: why it cannot be used, if it cannot."""

    model: str
    provider: str
    takes: list[str] | None
    json: bool
    price: dict[str, str | None] | None = None
    peers: list[str] = []
    is_default: bool = False
    error: str | None = None


class Sources(NamedTuple):
    """What the list is made of."""

    models: Models
    clients: Clients
    inputs: ModelInputs
    prices: Prices
    agents: AgentModels | None


async def listed_models(sources: Sources, used: Mapping[str, str | None]) -> dict[str, Any]:
    """Return `{models, silent}`: all models, and the providers that did not list theirs, with the reasons.

    `used`: the references to models of the specialists, by their names.
    """
    asked = [_asked(sources, provider) for provider in sources.models.callable()]
    local = sources.models.local()
    answers = await asyncio.gather(*asked)
    targets = {target.ref: target for found, _ in answers for target in found}
    targets |= {target.ref: target for target in (*await local, *sources.models.small())}
    rows: dict[str, ListedModel] = {}
    for ref, peers in _by_ref(used).items():
        row, target = await _used(sources, ref)
        row = rows.setdefault(row.model, row)
        row.peers = sorted([*row.peers, *peers])
        row.is_default = row.is_default or ref == AUTO
        if target is not None:
            targets[target.ref] = target
    prices = await sources.prices.per_million(list(targets.values()))
    for target, price in zip(targets.values(), prices, strict=True):
        row = rows.setdefault(target.ref, _row(sources, target))
        row.price = None if price is None else _shown(price)
    rows |= {row.model: row for row in _agents(sources) if row.model not in rows}
    silent = [failed for _, failed in answers if failed is not None]
    return {"models": sorted(rows.values(), key=lambda row: row.model), "silent": silent}


async def _asked(sources: Sources, provider: Provider) -> tuple[list[Target], dict[str, str] | None]:
    """Return the models of a provider, and why it did not list them, if it did not."""
    try:
        async with asyncio.timeout(SECONDS):
            names = await sources.clients.list_models(provider)
            if names:
                await sources.inputs.of(Target(provider, names[0]))  # asks what they take
    except ProviderFailed as failure:
        hint = str(failure.data.get("hint") or "")
        return [], {"provider": provider.name, "detail": failure.detail, "hint": hint}
    except TimeoutError:
        detail = f"it did not answer within {SECONDS:g} s"
        return [], {"provider": provider.name, "detail": detail, "hint": ""}
    return [Target(provider, name) for name in names], None


def _by_ref(used: Mapping[str, str | None]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {AUTO: []}
    for peer, ref in used.items():
        found.setdefault(ref or AUTO, []).append(peer)
    return found


async def _used(sources: Sources, ref: str) -> tuple[ListedModel, Target | None]:
    """Return the model that a reference means now."""
    try:
        async with asyncio.timeout(SECONDS):
            target = await sources.models.resolve(ref)
    except (TurnFailure, TimeoutError) as failure:
        error = getattr(failure, "detail", f"its provider did not answer within {SECONDS:g} s")
        return ListedModel(ref, ref.partition("/")[0], ["text"], False, error=error), None
    if target is None:
        return ListedModel(OFFLINE, OFFLINE, ["text"], False, _FREE), None
    if isinstance(target, AgentTarget):
        return _agent_row(sources, target), None
    return _row(sources, target), target


def _row(sources: Sources, target: Target) -> ListedModel:
    takes = sources.inputs.known(target)
    return ListedModel(target.ref, target.provider.name, _words(takes), "json" in takes)


def _agents(sources: Sources) -> Sequence[ListedModel]:
    return [_agent_row(sources, target) for target in (sources.agents.usable() if sources.agents else ())]


def _agent_row(sources: Sources, target: AgentTarget) -> ListedModel:
    assert sources.agents is not None  # it resolved the reference
    takes = agent_inputs(target.ref, sources.agents.drivers[target.peer]).takes
    return ListedModel(target.ref, f"cli:{target.name}", None if takes is None else _words(takes), False)


def _words(takes: frozenset[Take]) -> list[str]:
    return ["text", *(take for take in ORDER if take in takes)]


def _shown(price: Price) -> dict[str, str | None]:
    return {
        "input_per_1m": _decimal(price.input),
        "output_per_1m": _decimal(price.output),
        "cached_per_1m": None if price.cached is None else _decimal(price.cached),
    }


def _decimal(value: Decimal) -> str:
    return f"{value.normalize():f}"
