"""Tokens of given conversations, as a provider counts them or as an estimate."""

from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.drivers.models.access import ModelAccess
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.resolve import ProviderEntry
from rhetor.errors import ProviderFailed
from tests.provider import Failure, ProviderServer, Script
from tests.rhetor.drivers.talk import APOLLO

from .conversations import LOOP, PNG, asks, image, user

pytestmark = pytest.mark.anyio


async def access(provider: ProviderServer, kind: Any) -> ModelAccess:
    url = provider.url if kind == "anthropic" else f"{provider.url}/v1"
    return ModelAccess({}, {"p": ProviderEntry(kind, url, allow_private=True)}, "p/m", Timeouts())


async def test_tokens_are_counted_by_the_provider_or_estimated() -> None:
    async with ProviderServer(key="") as provider:
        models = await access(provider, "anthropic")
        count = await models.count_tokens(replace(APOLLO, model="p/m"), LOOP)
        call = provider.calls[-1]
        assert (count.exact, count.input_tokens) == (True, 17)
        assert (call.path, "stream" in (call.body or {})) == ("/v1/messages/count_tokens", False)
        assert call.headers["x-rhetor-hops"] == "1"
        assert not (await models.count_tokens(replace(APOLLO, model="p/m"), LOOP, hops=8)).exact
        provider.script(Script(failure=Failure(404, body="<h1>Not Found</h1>")))
        assert not (await models.count_tokens(replace(APOLLO, model="p/m"), LOOP)).exact
        provider.script(Script(failure=Failure(429)))
        with pytest.raises(ProviderFailed):
            await models.count_tokens(replace(APOLLO, model="p/m"), LOOP)
        await models.aclose()
        models, before = await access(provider, "openai"), len(provider.calls)
        text = asks("x" * 400, user(image()))
        count = await models.count_tokens(replace(APOLLO, prompt="", model="p/m"), text, {"b_1": PNG})
        assert (count.exact, count.input_tokens) == (False, 100 + 1600 + 8)
        assert len(provider.calls) == before
        await models.aclose()
