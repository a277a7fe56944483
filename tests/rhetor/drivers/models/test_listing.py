"""The list of models: what exists, who uses which, what each takes and costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from rhetor.drivers.models.access import ModelAccess
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.prices import Price, Prices
from rhetor.drivers.models.resolve import ProviderEntry
from rhetor.drivers.models.target import Provider, Target
from tests.provider.server import ProviderServer

pytestmark = pytest.mark.anyio
PRICE = {"input_per_1m": "2", "output_per_1m": "10.5", "cached_per_1m": None}


async def listed(url: str, used: dict[str, str | None]) -> tuple[dict[str, Any], list[str]]:
    access = ModelAccess(
        {"OLLAMA_HOST": "http://127.0.0.1:9"},
        {
            "one": ProviderEntry("openai", f"{url}/v1"),
            "gone": ProviderEntry("openai", "http://127.0.0.1:9/v1"),
        },
        "one/gpt-4o",
        Timeouts(),
        prices={"one/gpt-4o": Price(Decimal(2), Decimal("10.50"))},
        takes={"one/own": frozenset({"audio", "json"})},
    )
    try:
        found = await access.models(used)
    finally:
        await access.aclose()
    models = {row.model: msgspec.to_builtins(row) for row in found["models"]}
    assert list(models) == sorted(models)
    return models, [silent["provider"] for silent in found["silent"]]


async def test_models_are_listed_with_what_they_take_and_cost_and_their_peers() -> None:
    async with ProviderServer(models=("gpt-4o", "own", "plain"), key="") as provider:
        used = {"apollo": None, "athena": "auto", "numa": "one/own", "hermes": "nosuch/x", "iris": "offline"}
        models, silent = await listed(provider.url, used)
    assert silent == ["gone"]
    shown = {name: (row["takes"], row["json"], row["peers"]) for name, row in models.items()}
    assert {name: shown[name] for name in ("one/gpt-4o", "one/own", "one/plain", "nosuch/x", "offline")} == {
        "one/gpt-4o": (["text", "image", "pdf"], True, ["apollo", "athena"]),
        "one/own": (["text", "audio"], True, ["numa"]),
        "one/plain": (["text"], False, []),
        "nosuch/x": (["text"], False, ["hermes"]),
        "offline": (["text"], False, ["iris"]),
    }
    assert (models["one/gpt-4o"]["price"], models["one/plain"]["price"]) == (PRICE, None)
    assert [name for name, row in models.items() if row["is_default"]] == ["one/gpt-4o"]
    assert "no provider named 'nosuch'" in models["nosuch/x"]["error"]
    assert models["one/own"]["error"] is None


async def test_known_prices_are_those_of_a_million_tokens() -> None:
    here = Provider("here", "openai", "http://127.0.0.1:1/v1")
    anthropic = Provider("anthropic", "anthropic", "https://api.anthropic.com")
    targets = [Target(anthropic, "claude-sonnet-4-5"), Target(anthropic, "nosuch"), Target(here, "x")]
    known, unknown, local = await Prices().per_million(targets)
    assert (unknown, local) == (None, None)
    assert known == Price(Decimal(3), Decimal(15), Decimal("0.3"))
