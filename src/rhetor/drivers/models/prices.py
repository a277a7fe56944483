"""Computes what an answer costs, by the user's own prices, the provider's figure, or a table of known models.

The table (genai-prices, no network) is loaded in a thread when it is first needed. An unknown cost is None,
never 0.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from rhetor.domain.output import Usage
from rhetor.drivers.models.target import Target
from rhetor.drivers.models.urls import is_loopback

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

_MILLION = 1_000_000
_SAMPLE = 1000  # tokens whose cost shows the price of a million
PACKAGE = "genai-prices"
KNOWN_VERSION, KNOWN_DATE = "0.2.3", "2026-11-09"  # the pinned version, and its newest price


class Price(msgspec.Struct, frozen=True):
    """Prices in USD per million tokens. `cached`: for input from the provider's cache; None if it costs the
    same as other input."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None

    def of(self, usage: Usage) -> Decimal:
        cached = min(usage.cached_tokens or 0, usage.input_tokens)
        rate = self.input if self.cached is None else self.cached
        fresh = (usage.input_tokens - cached) * self.input
        return (fresh + cached * rate + usage.output_tokens * self.output) / _MILLION


_FREE = Price(Decimal(0), Decimal(0))


class Prices:
    """The prices of all models. `own`: the user's prices by `provider/model`, which have priority. `clock`
    returns Unix time, because the prices in the table change."""

    def __init__(
        self, own: Mapping[str, Price] = MappingProxyType({}), clock: Callable[[], float] = time.time
    ) -> None:
        self._own = own
        self._clock = clock
        self._table: asyncio.Future[DataSnapshot] | None = None

    def prepare(self, target: Target) -> None:
        """Start to load the table if `cost` may need it, so that the end of the answer does not wait for
        it."""
        if target.ref not in self._own and not is_loopback(target.provider.base_url):
            self._loading()

    async def cost(self, target: Target, usage: Usage, cache_written: int = 0) -> str | None:
        """Return the cost in USD as a decimal string; None if unknown. `usage.cost` is the provider's figure.

        `cache_written`: tokens of the input that were written to the provider's cache, which some providers
        charge for.
        """
        if own := self._own.get(target.ref):
            return _text(own.of(usage))
        if target.provider.local:
            return "0"
        if usage.cost is not None or is_loopback(target.provider.base_url):
            return usage.cost
        # shielded, because all turns share it, and an interrupted turn must not cancel it for the others
        loading = self._loading()
        table = loading.result() if loading.done() else await asyncio.shield(loading)
        found = _in_table(table, target, usage, cache_written, datetime.fromtimestamp(self._clock(), UTC))
        return None if found is None else _text(found)

    async def per_million(self, targets: Sequence[Target]) -> list[Price | None]:
        """Return the prices of models, None for those that are unknown. Prices that depend on the length of
        the input are those of a short one."""
        if all(target.ref in self._own or is_loopback(target.provider.base_url) for target in targets):
            return [self._on_this_machine(target) for target in targets]
        table = await asyncio.shield(self._loading())
        at = datetime.fromtimestamp(self._clock(), UTC)
        return await asyncio.to_thread(lambda: [self._listed(table, target, at) for target in targets])

    def _listed(self, table: DataSnapshot, target: Target, at: datetime) -> Price | None:
        if target.ref in self._own or is_loopback(target.provider.base_url):
            return self._on_this_machine(target)
        counts = ((_SAMPLE, 0, 0), (0, _SAMPLE, 0), (_SAMPLE, 0, _SAMPLE))
        usages = (Usage(target.ref, given, said, cached or None) for given, said, cached in counts)
        found = [_in_table(table, target, usage, 0, at) for usage in usages]
        if found[0] is None or found[1] is None:
            return None
        scale = _MILLION // _SAMPLE
        cached = None if found[2] is None or found[2] == found[0] else found[2] * scale
        return Price(found[0] * scale, found[1] * scale, cached)

    def _on_this_machine(self, target: Target) -> Price | None:
        return self._own.get(target.ref, _FREE if target.provider.local else None)

    async def describe(self) -> dict[str, str | None]:
        """Return what the table is: `{source, version, date}`. `date`: of the newest price in it; None if
        that is unknown."""
        if (found := version(PACKAGE)) == KNOWN_VERSION:
            since: str | None = KNOWN_DATE  # so that a question about usage does not wait for the table
        else:
            since = newest_price(await asyncio.shield(self._loading()), self._today)
        return {"source": PACKAGE, "version": found, "date": since}

    @property
    def _today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()

    def _loading(self) -> asyncio.Future[DataSnapshot]:
        if self._table is None:
            self._table = asyncio.get_running_loop().run_in_executor(None, _load)
        return self._table


def _load() -> DataSnapshot:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def newest_price(table: DataSnapshot, today: date) -> str | None:
    """Return the day on which the newest price of the table began; None if no price of it has a day."""
    days = (
        getattr(price.constraint, "start_date", None)
        for provider in table.providers
        for model in provider.models
        if isinstance(model.prices, list)
        for price in model.prices
    )
    begun = [day for day in days if day is not None and day <= today]
    return max(begun).isoformat() if begun else None


def _in_table(
    table: DataSnapshot, target: Target, usage: Usage, cache_written: int, at: datetime
) -> Decimal | None:
    import genai_prices

    counts = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=cache_written or None,
    )
    try:
        # by the URL, because users choose the names of providers
        found = table.calc(counts, target.model, None, target.provider.base_url, at)
    except (LookupError, ValueError):
        return None  # not in the table, or the token counts contradict each other
    # the table counts tokens without a price as 0
    known = found.model_price.input_mtok is not None and found.model_price.output_mtok is not None
    return found.total_price if known else None


def _text(cost: Decimal) -> str:
    return f"{cost.normalize():f}"
