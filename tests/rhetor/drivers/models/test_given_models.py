"""A model that a client names is known to its provider, or is rejected at once."""

from __future__ import annotations

import pytest

from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.given_models import GivenModels
from rhetor.drivers.models.resolve import Models, ProviderEntry
from rhetor.errors import UnknownModel
from tests.provider import ProviderServer
from tests.rhetor.drivers.talk import here

pytestmark = pytest.mark.anyio


def given(clients: Clients, entries: dict[str, ProviderEntry]) -> GivenModels:
    models = Models({}, clients.list_models, providers=entries, servers=lambda environment: ())
    return GivenModels(models, clients)


@pytest.mark.parametrize("ref", ["box/llama", "box/qwen", "box/qwen:free", "auto", "offline", "openai/gpt"])
async def test_a_model_that_a_provider_has_is_accepted(ref: str) -> None:
    clients = Clients()
    async with ProviderServer(models=("llama:latest", "qwen"), key="") as provider:
        models = given(clients, {"box": here(provider)})
        await models.require(ref)
        finding = await models.finding(("model",), ref)
        assert finding is None or not finding.unknown  # openai has no key, and so no list
        await clients.aclose()


@pytest.mark.parametrize(
    ("ref", "detail", "hint"),
    [
        ("box/lama", "box has no model 'lama'", "did you mean box/llama?"),
        ("box/gpt-9", "box has no model 'gpt-9'", "it has box/llama, box/qwen"),
        ("nobody/m", "there is no provider named 'nobody'", "providers: anthropic, box, openai, openrouter"),
        ("llama", "'llama' is not a model", "write provider/model, cli:agent or auto"),
        ("cli:nobody", "'cli:nobody' is not a model", "coding agents cannot answer as models here"),
    ],
)
async def test_a_model_that_no_provider_knows_is_rejected(ref: str, detail: str, hint: str) -> None:
    clients = Clients()
    async with ProviderServer(models=("llama", "qwen"), key="") as provider:
        with pytest.raises(UnknownModel) as rejected:
            await given(clients, {"box": here(provider)}).require(ref)
        await clients.aclose()
    assert (rejected.value.detail, rejected.value.data["hint"]) == (detail, hint)
    assert (rejected.value.code, rejected.value.status) == ("unknown_model", 422)


@pytest.mark.parametrize("models", [(), ("llama",)])
async def test_a_model_is_accepted_if_its_provider_does_not_list_models(models: tuple[str, ...]) -> None:
    clients = Clients()
    async with ProviderServer(models=models, key="another" if models else "") as provider:
        entry = here(provider)
        await given(clients, {"box": entry}).require("box/new")
        assert provider.calls
    await given(clients, {"box": entry}).require("box/newer")  # the server has stopped
    await clients.aclose()
