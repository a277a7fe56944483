"""The providers' own SDKs, for turns with tools: pydantic-ai speaks through them.

They are set up to do as little as possible by themselves: no retries, no redirects, no key and no name of an
organization that the process's environment holds. Plain turns know nothing of them.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from rhetor.drivers.models.target import Provider
from rhetor.drivers.models.urls import Resolve, pin

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

Preparing = Callable[["httpx2.Request"], Awaitable[None]]

MAX_CONNECTIONS = 1000
KEPT_ALIVE = 30.0  # seconds a connection waits for the next turn


def openai_sdk(
    provider: Provider, connect_timeout: float, resolve: Resolve, trust: ssl.SSLContext | None
) -> AsyncOpenAI:
    """`connect_timeout`: seconds until a connection stands. `trust`: for https; None: the SDK makes one."""
    import openai

    return openai.AsyncOpenAI(
        api_key=provider.key or "none",  # taken off again in `_preparing`
        base_url=provider.base_url,
        max_retries=0,
        timeout=openai.Timeout(None, connect=connect_timeout),
        http_client=_http_client(openai.DefaultAioHttpClient, _preparing(provider, resolve), trust),
    )


def anthropic_sdk(
    provider: Provider, connect_timeout: float, resolve: Resolve, trust: ssl.SSLContext | None
) -> AsyncAnthropic:
    """As `openai_sdk`."""
    import anthropic

    return anthropic.AsyncAnthropic(
        api_key=provider.key or "none",
        base_url=provider.base_url,
        max_retries=0,
        timeout=anthropic.Timeout(None, connect=connect_timeout),
        open_telemetry=False,
        http_client=_http_client(anthropic.DefaultAioHttpClient, _preparing(provider, resolve), trust),
    )


def failures(provider: Provider) -> tuple[type[Exception], ...]:
    """What the provider's SDK raises, beside what its transport does."""
    import httpx2

    if provider.kind == "anthropic":
        from anthropic import APIError as AnthropicError

        return (AnthropicError, httpx2.HTTPError, httpx2.StreamError)
    from openai import APIError

    return (APIError, httpx2.HTTPError, httpx2.StreamError)


def _http_client(
    factory: Callable[..., httpx2.AsyncClient], preparing: Preparing, trust: ssl.SSLContext | None
) -> httpx2.AsyncClient:
    import httpx2

    limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEPT_ALIVE)
    hooks = {"request": [preparing]}
    return factory(follow_redirects=False, limits=limits, event_hooks=hooks, verify=trust or True)


def _preparing(provider: Provider, resolve: Resolve) -> Preparing:
    """What is done to each request before it goes out."""

    async def prepare(request: httpx2.Request) -> None:
        if not provider.key:
            for name in ("authorization", "x-api-key"):
                request.headers.pop(name, None)
        # the SDK takes these from the process's environment, whatever the provider
        for name in ("openai-organization", "openai-project"):
            request.headers.pop(name, None)
        if provider.reach is not None:
            await pin(request, provider.reach, resolve)

    return prepare
