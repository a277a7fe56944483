"""What an answer costs: known prices, the user's own prices, and no price for unknown models."""

import subprocess
import sys
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot

from rhetor.domain.output import Done, Usage
from rhetor.drivers.models.local import local_target
from rhetor.drivers.models.prices import KNOWN_DATE, KNOWN_VERSION, PACKAGE, Price, Prices, newest_price
from rhetor.drivers.models.target import Kind, Provider, Target
from tests.provider import ProviderServer, Script
from tests.provider import Usage as Tokens
from tests.rhetor.drivers.talk import NOW, anthropic_at, apollo_says, openai_at

pytestmark = pytest.mark.anyio

URLS: dict[Kind, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "openrouter": "https://openrouter.ai/api/v1",
}


def target(ref: str, url: str | None = None, kind: Kind = "openai") -> Target:
    name, _, model = ref.partition("/")
    return Target(Provider(name, kind, url or URLS[kind]), model)


async def cost(target: Target, usage: Usage, written: int = 0, **own: Price) -> str | None:
    prices = {ref.replace("__", "/"): price for ref, price in own.items()}
    return await Prices(prices, clock=lambda: NOW).cost(target, usage, written)


def used(input_tokens: int, output_tokens: int, cached: int | None = None, told: str | None = None) -> Usage:
    return Usage("x/y", input_tokens, output_tokens, cached, told)


async def test_a_small_model_that_the_hub_runs_costs_nothing_unless_a_price_is_set() -> None:
    small = local_target("smollm2")
    assert await cost(small, used(1000, 100)) == "0"
    assert await Prices().per_million([small]) == [Price(Decimal(0), Decimal(0))]
    assert await cost(small, used(1_000_000, 0), local__smollm2=Price(Decimal(1), Decimal(1))) == "1"


@pytest.mark.parametrize(
    ("where", "usage", "written", "price"),
    [
        (target("openai/gpt-4o"), used(1_000_000, 0), 0, "2.5"),
        (target("openai/gpt-4o"), used(0, 1_000_000), 0, "10"),
        (target("openai/gpt-4o"), used(1000, 100), 0, "0.0035"),
        (target("openai/gpt-4o"), used(1000, 100, 400), 0, "0.003"),
        (target("openai/gpt-4o"), used(1, 0), 0, "0.0000025"),
        (target("openai/gpt-4o"), used(0, 0), 0, "0"),
        (target("anthropic/claude-sonnet-4-5", kind="anthropic"), used(1000, 100, 400), 0, "0.00342"),
        (target("anthropic/claude-sonnet-4-5", kind="anthropic"), used(1000, 100), 400, "0.0048"),
        (target("work/gpt-4o"), used(1000, 100), 0, "0.0035"),
    ],
)
async def test_known_models_have_their_price_with_a_separate_cache_price(
    where: Target, usage: Usage, written: int, price: str
) -> None:
    assert await cost(where, usage, written) == price


@pytest.mark.parametrize(
    "where",
    [
        target("openai/no-such-model"),
        target("openai/text-embedding-3-small"),  # in the table, but without a price for output
        target("openai/gpt-4o", "http://127.0.0.1:11434/v1"),
        target("ollama/llama3.2", "http://localhost:11434/v1"),
        target("openai/gpt-4o", "https://relay.example/v1"),
        target("box/gpt-4o", "http://10.0.0.1/v1"),
    ],
)
async def test_an_unknown_model_has_no_price(where: Target) -> None:
    assert await cost(where, used(1000, 100)) is None


async def test_contradictory_token_counts_have_no_price() -> None:
    assert await cost(target("openai/gpt-4o"), used(10, 1, cached=20)) is None


OWN = Price(Decimal("1"), Decimal("4"), Decimal("0.1"))


@pytest.mark.parametrize(
    ("price", "usage", "text"),
    [
        (OWN, used(1000, 100), "0.0014"),
        (OWN, used(1000, 100, cached=400), "0.00104"),
        (OWN, used(1000, 100, told="9"), "0.0014"),
        (OWN, used(10, 0, cached=20), "0.000001"),
        (Price(Decimal("1"), Decimal("4")), used(1000, 100, cached=400), "0.0014"),
        (Price(Decimal(0), Decimal(0)), used(1000, 100), "0"),
    ],
)
async def test_the_users_own_price_takes_precedence_even_for_local_models(
    price: Price, usage: Usage, text: str
) -> None:
    assert await cost(target("openai/gpt-4o"), usage, openai__gpt_4o=price) != text
    for where in (target("a/b"), target("a/b", "http://127.0.0.1:1/v1")):
        assert await cost(where, usage, a__b=price) == text


async def test_a_cost_reported_by_the_provider_takes_precedence_over_the_table() -> None:
    where = target("openrouter/anthropic/claude-sonnet-4.5", kind="openrouter")
    assert await cost(where, used(1000, 100, told="0.5")) == "0.5"
    assert await cost(where, used(1000, 100)) == "0.0045"


async def test_the_price_table_is_loaded_only_for_providers_that_it_covers() -> None:
    idle, asked = Prices({"a/b": OWN}), Prices()
    for known in (target("a/b"), target("ollama/m", "http://127.0.0.1:11434/v1")):
        idle.prepare(known)
        await idle.cost(known, used(1, 1))
    assert idle._table is None
    asked.prepare(target("openai/m"))
    assert asked._table is not None
    await asked._table


@pytest.mark.long
def test_starting_the_hub_does_not_load_the_price_table() -> None:
    code = "import rhetor.serving, sys; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize(("at", "ref"), [(openai_at, "openai/m"), (anthropic_at, "anthropic/m")])
async def test_an_answer_reports_its_cost(at: Any, ref: str) -> None:
    async with ProviderServer() as provider:
        provider.script(*[Script(chunks=("a",), usage=Tokens(1000, 100, cached=400))] * 2)
        outputs, _ = await apollo_says(at(provider), prices=Prices({ref: OWN}))
        assert outputs[-2:] == [Usage(ref, 1000, 100, 400, "0.00104"), Done("stop")]
        outputs, _ = await apollo_says(at(provider))
        assert outputs[-2:] == [Usage(ref, 1000, 100, 400, None), Done("stop")]


async def test_the_price_list_is_named_with_the_day_of_its_newest_price() -> None:
    assert await Prices().describe() == {"source": PACKAGE, "version": KNOWN_VERSION, "date": KNOWN_DATE}


def test_the_day_of_the_pinned_list_is_that_of_its_newest_price() -> None:
    """If this fails after an update of the list, change KNOWN_VERSION and KNOWN_DATE."""
    assert version(PACKAGE) == KNOWN_VERSION
    day = date.fromisoformat(KNOWN_DATE)
    assert newest_price(get_snapshot(), day) == KNOWN_DATE
    assert newest_price(get_snapshot(), date(2026, 11, 30)) == KNOWN_DATE
    assert newest_price(get_snapshot(), date(2000, 1, 1)) is None
