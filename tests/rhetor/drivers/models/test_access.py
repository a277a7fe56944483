"""Which models the hub can reach: found again when a server starts, and set up as configured."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from rhetor.domain.output import Began, Done
from rhetor.drivers.models.local_models import LocalServer
from rhetor.drivers.models.prices import Price
from rhetor.drivers.models.resolve import OFFLINE_SECONDS, Models
from rhetor.errors import InvalidSettings
from rhetor.settings import Settings, read_settings
from rhetor.wiring import model_access
from tests.provider import ProviderServer
from tests.rhetor.drivers.models.test_cooldown import Clock
from tests.rhetor.drivers.models.test_resolve import Catalog
from tests.rhetor.drivers.talk import APOLLO, chat_driver, turn

pytestmark = pytest.mark.anyio


class Machine:
    """Model servers on this machine as they come and go; `looks` counts the searches."""

    def __init__(self) -> None:
        self.servers: list[LocalServer] = []
        self.looks = 0

    def __call__(self, environment: Mapping[str, str]) -> Sequence[LocalServer]:
        self.looks += 1
        return self.servers


async def test_a_turn_finds_a_model_server_started_after_the_hub() -> None:
    clock, machine = Clock(), Machine()
    async with ProviderServer(models=("llama",), key="") as server, chat_driver({}) as driver:
        models = Models({}, Catalog(), servers=machine, clock=clock)
        driver.resources = driver.resources._replace(models=models)
        for _ in range(3):
            outputs, _ = await turn(await driver.open(APOLLO), "Hi")
            assert outputs[0] == Began("offline")
        assert machine.looks == 1
        machine.servers = [LocalServer("ollama", f"{server.url}/v1")]
        clock.now += OFFLINE_SECONDS - 0.1
        outputs, _ = await turn(await driver.open(APOLLO), "Hi")
        assert (outputs[0], machine.looks) == (Began("offline"), 1)
        clock.now += 0.1
        for _ in range(2):
            outputs, _ = await turn(await driver.open(APOLLO), "Hi")
            assert (outputs[0], outputs[-1], machine.looks) == (Began("ollama/llama"), Done("stop"), 2)
        clock.now += 1_000_000
        await turn(await driver.open(APOLLO), "Hi")
        assert machine.looks == 2  # no search once a model was found


async def test_concurrent_turns_share_one_search() -> None:
    clock, machine = Clock(), Machine()
    models = Models({}, Catalog(), servers=machine, clock=clock)
    for looks in (1, 2):
        assert await asyncio.gather(*(models.resolve(None) for _ in range(5))) == [None] * 5
        assert machine.looks == looks
        clock.now += OFFLINE_SECONDS


async def test_no_search_runs_if_the_offline_model_is_configured() -> None:
    clock, machine = Clock(), Machine()
    models = Models({}, Catalog(), servers=machine, clock=clock, default="offline")
    for ref in ("auto", "offline", None, "auto"):
        assert await models.resolve(ref) is None
        clock.now += OFFLINE_SECONDS
    assert machine.looks == 0


CONFIGURED = """
providers: {local: {base_url: "http://127.0.0.1:1/v1"}}
models:
  fallbacks: [local/llama3.2, openai/gpt-4o]
  prices:
    local/llama3.2: {input_per_1m: "0.10", output_per_1m: "0.4", cached_per_1m: "0"}
    openrouter/meta/llama: {input_per_1m: 1, output_per_1m: 2}
"""


async def test_fallbacks_and_prices_come_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURED)
    access = model_access(read_settings(file), {})
    means = access._chat.resources
    assert means.fallbacks == ("local/llama3.2", "openai/gpt-4o")
    assert means.prices._own == {
        "local/llama3.2": Price(Decimal("0.1"), Decimal("0.4"), Decimal(0)),
        "openrouter/meta/llama": Price(Decimal(1), Decimal(2)),
    }
    await access.aclose()


@pytest.mark.parametrize(
    "models",
    [
        "{fallbacks: [auto]}",
        "{fallbacks: [llama]}",
        "{fallbacks: [/m]}",
        "{prices: {local/m: {input_per_1m: '-1', output_per_1m: '1'}}}",
        "{prices: {local/m: {input_per_1m: 'nan', output_per_1m: '1'}}}",
        "{prices: {local/m: {input_per_1m: '1'}}}",
        "{prices: {m: {input_per_1m: '1', output_per_1m: '1'}}}",
    ],
)
def test_an_invalid_model_or_price_is_rejected(tmp_path: Path, models: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"models: {models}\n")
    with pytest.raises(InvalidSettings):
        read_settings(file)


NAMED = """
providers:
  local: {{base_url: "{url}/v1"}}
  gone: {{base_url: "http://127.0.0.1:1/v1"}}
models: {{default: local/llama, fallbacks: [openai/gpt]}}
specialists:
  metis: {{model: local/lama}}
  ergon: {{model: gone/m}}
"""


async def test_each_model_that_a_setting_names_is_checked(tmp_path: Path) -> None:
    async with ProviderServer(models=("llama", "qwen"), key="") as server:
        file = tmp_path / "config.yaml"
        file.write_text(NAMED.format(url=server.url))
        access = model_access(read_settings(file), {"RHETOR_MODEL": "not used"})
        await access.check_models()
        found = {each["setting"]: (each["unknown"], each["detail"], each["hint"]) for each in access.findings}
        await access.aclose()
    assert found.pop("specialists.metis.model") == (
        True,
        "local has no model 'lama'",
        "did you mean local/llama?",
    )
    no_key = "set OPENAI_API_KEY, or run: aish keys set openai"
    assert found.pop("models.fallbacks.0") == (False, "no API key for openai", no_key)
    assert found.pop("specialists.ergon.model")[0] is False
    assert not found


async def test_the_model_of_the_variable_is_checked_with_the_provider_of_auto() -> None:
    async with ProviderServer(models=("llama", "qwen"), key=None) as server:
        environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{server.url}/v1", "RHETOR_MODEL": "quen"}
        access = model_access(Settings(), environment)
        (finding,) = await access.check_models()
        assert (finding.keys, finding.reason) == (
            ("RHETOR_MODEL",),
            "openai has no model 'quen'; did you mean openai/qwen?",
        )
        access.take_over({**environment, "RHETOR_MODEL": "qwen"})
        assert (await access.check_models(), access.findings) == ([], [])
        await access.aclose()
