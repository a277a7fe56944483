"""`aish usage` of a real hub: its totals are the counts of the provider, to the token."""

from __future__ import annotations

import asyncio
import json
import random
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Failure, Script, Usage
from tests.rhetor.hub.usage_counts import folded_usage, stored_usage
from tests.scale import scaled

from rhetor.domain.usage import Amounts
from rhetor.hub.core.ids import wall_clock
from rhetor.sealing.ring import Ring
from rhetor.store.sqlite.store import SqliteStore

TAKEN, GIVEN = Decimal("0.000003"), Decimal("0.0000017")  # USD per token


@pytest.mark.long
def test_the_totals_of_a_day_are_the_counts_of_the_provider(
    machine: Machine, provider: ProviderProcess
) -> None:
    prices = {"openai/m1": {"input_per_1m": TAKEN * 10**6, "output_per_1m": GIVEN * 10**6}}
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m1",
        "RHETOR_MODELS__PRICES": json.dumps(prices, default=str),
    }
    *answers, last = (Usage(101 + 7 * n, 11 + 3 * n) for n in range(8))
    provider.script(*(Script(chunks=("ok",), usage=usage) for usage in answers))
    machine.run("apollo", "hi")
    machine.run("apollo", "-s", "2", "hi")
    machine.run("-c", "apollo hi | athena check")
    machine.run("apollo,athena", "hi")
    machine.kill_hub()  # with SIGKILL; what was answered is counted
    assert machine.run("apollo", "hi").returncode == 0
    provider.script(Script(failure=Failure(400)), Script(chunks=("ok",), usage=last))
    assert machine.run("apollo", "a call that fails").returncode == 1
    assert machine.run("apollo", "hi").returncode == 0
    counted = [*answers, last]
    found = _usage(machine, "day")
    assert found["total"] == {
        "turns": 9,
        "sessions": 5,
        "input_tokens": sum(each.input for each in counted),
        "output_tokens": sum(each.output for each in counted),
        "cost": found["total"]["cost"],
        "unpriced_turns": 1,
        "unreported_turns": 1,
    }
    exact = sum(each.input * TAKEN + each.output * GIVEN for each in counted)
    assert Decimal(found["total"]["cost"]) == exact
    for by in ("day", "peer", "model", "project", "caller"):
        grouped = _usage(machine, by)
        assert grouped["total"] == found["total"]
        for name in ("turns", "input_tokens", "output_tokens", "unpriced_turns"):
            assert sum(row[name] for row in grouped["rows"]) == found["total"][name], (by, name)
    assert {row["key"] for row in _usage(machine, "model")["rows"]} == {"openai/m1", None}


@pytest.mark.long
def test_whenever_the_hub_is_killed_each_report_is_counted_once(
    machine: Machine, provider: ProviderProcess
) -> None:
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m1",
    }
    provider.script(default=Script(chunks=tuple("abcdefgh"), delay=0.02, usage=Usage(101, 17)))
    draw = random.Random(1)
    for _ in range(scaled(20, 3)):
        machine.run("list")
        lines = ("apollo hi", "apollo,athena hi", "apollo hi | athena check")
        running = [machine.start("-c", line) for line in lines * 4]
        time.sleep(draw.uniform(0.2, 1.0))  # the moment of the kill is the subject
        machine.kill_hub()
        for process in running:
            process.communicate(timeout=SECONDS)
        machine.run("shutdown")
        machine.wait_for_end()
        stored, folded = asyncio.run(_stored_and_folded(machine.folder / "hub.db"))
        assert stored == folded
    assert sum(stored[0].values(), Amounts()).input_tokens > 0


async def _stored_and_folded(path: Path) -> tuple[Any, Any]:
    store = await SqliteStore.open(path, clock=wall_clock, ring=Ring(path.parent), at_rest=None)
    found = await stored_usage(store), await folded_usage(store)
    await store.aclose()
    return found


def _usage(machine: Machine, by: str) -> Any:
    ran = machine.run("usage", "--by", by, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
