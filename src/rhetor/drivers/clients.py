"""The providers' SDK clients: imported on first use, one kept a provider, all closed together.

They are set up to do as little as possible by themselves: no retries, no redirects, nothing taken from the
process's environment. Making one takes time (imports, certificates), so it happens in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.drivers import provider_errors
from rhetor.drivers.local_models import ModelList
from rhetor.drivers.target import Provider, Target
from rhetor.drivers.urls import Resolve, pin, resolved

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

Preparing = Callable[["httpx2.Request"], Awaitable[None]]

_KEPT_ALIVE = 30.0  # seconds a connection waits for the next turn


@dataclass(frozen=True, slots=True)
class Client:
    """One of `openai` and `anthropic` is set, as the provider's kind says.

    `failures` is what its calls, and reading their answers, raise: `provider_errors` makes sense of them.
    """

    openai: AsyncOpenAI | None
    anthropic: AsyncAnthropic | None
    failures: tuple[type[Exception], ...]

    async def aclose(self) -> None:
        for client in (self.openai, self.anthropic):
            if client is not None:
                await client.close()


class Clients:
    """`connect_timeout`: seconds until a connection stands."""

    def __init__(self, connect_timeout: float = 10.0, resolve: Resolve = resolved) -> None:
        self._connect_timeout = connect_timeout
        self._resolve = resolve
        self._made: dict[Provider, Client] = {}
        self._making = asyncio.Lock()

    async def get(self, provider: Provider) -> Client:
        """The client for a provider; the first call for one takes up to a second."""
        if (client := self._made.get(provider)) is not None:
            return client
        async with self._making:
            if provider not in self._made:
                self._made[provider] = await asyncio.to_thread(
                    _make, provider, self._connect_timeout, self._resolve
                )
            return self._made[provider]

    async def list_models(self, provider: Provider) -> list[str]:
        """The names at the provider's `/models`; none where it has no such list.

        Raises:
            ProviderFailed: refused, or not reached.
        """
        client = await self.get(provider)
        try:
            answer = await _get_models(client, self._connect_timeout)
            return msgspec.json.decode(answer.content, type=ModelList).names
        except msgspec.DecodeError:
            return []
        except client.failures as error:
            failed = provider_errors.of_call(Target(provider, "*"), error, self._connect_timeout, time.time())
            if failed.data["status"] in (404, 405):
                return []
            raise failed from error

    async def aclose(self) -> None:
        """Close all; turns that are running fail."""
        for client in self._made.values():
            await client.aclose()
        self._made.clear()


async def _get_models(client: Client, seconds: float) -> httpx2.Response:
    import httpx2

    options: Any = {"timeout": seconds}
    if client.anthropic is not None:
        return await client.anthropic.get("/v1/models", cast_to=httpx2.Response, options=options)
    assert client.openai is not None
    return await client.openai.get("/models", cast_to=httpx2.Response, options=options)


def _make(provider: Provider, connect_timeout: float, resolve: Resolve) -> Client:
    preparing = _preparing(provider, resolve)
    if provider.kind == "anthropic":
        return _make_anthropic(provider, connect_timeout, preparing)
    return _make_openai(provider, connect_timeout, preparing)


def _make_openai(provider: Provider, connect_timeout: float, preparing: Preparing) -> Client:
    import openai

    client = openai.AsyncOpenAI(
        api_key=provider.key or "none",  # taken off again in `_preparing`
        base_url=provider.base_url,
        max_retries=0,
        timeout=openai.Timeout(None, connect=connect_timeout),
        http_client=_http_client(openai.DefaultAioHttpClient, preparing),
    )
    # loads the part that answers calls, which the SDK would do on the first of them
    _ = client.chat.completions.with_streaming_response
    return Client(client, None, (openai.APIError, *_broken()))


def _make_anthropic(provider: Provider, connect_timeout: float, preparing: Preparing) -> Client:
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=provider.key or "none",
        base_url=provider.base_url,
        max_retries=0,
        timeout=anthropic.Timeout(None, connect=connect_timeout),
        open_telemetry=False,
        http_client=_http_client(anthropic.DefaultAioHttpClient, preparing),
    )
    _ = client.messages.with_streaming_response
    return Client(None, client, (anthropic.APIError, *_broken()))


def _broken() -> tuple[type[Exception], ...]:
    import aiohttp
    import httpx2

    return (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)


def _http_client(factory: Callable[..., httpx2.AsyncClient], preparing: Preparing) -> httpx2.AsyncClient:
    import httpx2

    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=_KEPT_ALIVE)
    return factory(follow_redirects=False, limits=limits, event_hooks={"request": [preparing]})


def _preparing(provider: Provider, resolve: Resolve) -> Preparing:
    """What is done to each request before it goes out."""

    async def prepare(request: httpx2.Request) -> None:
        if not provider.key:
            del request.headers["authorization"]
        # the SDK takes these from the process's environment, whatever the provider
        for name in ("openai-organization", "openai-project"):
            request.headers.pop(name, None)
        if provider.reach is not None:
            await pin(request, provider.reach, resolve)

    return prepare
