"""The providers' own SDKs. pydantic-ai uses them for turns with tools; turns without tools do not need them.

They are configured to do as little as possible by themselves: no retries, no redirects, and no key or
organization from the process's environment.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rhetor.drivers.base import HOPS, HOPS_HEADER
from rhetor.drivers.models.network import certificates
from rhetor.drivers.models.repaired_body import repairing
from rhetor.drivers.models.target import Provider
from rhetor.drivers.models.urls import Resolve, is_loopback, pin

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

Preparing = Callable[["httpx2.Request"], Awaitable[None]]

MAX_CONNECTIONS = 1000
KEPT_ALIVE = 30.0  # seconds a connection waits for the next turn


def openai_sdk(
    provider: Provider,
    connect_timeout: float,
    resolve: Resolve,
    trust: ssl.SSLContext | None,
    proxy: str | None,
) -> AsyncOpenAI:
    """Return OpenAI's SDK for a provider. `connect_timeout`: seconds to establish a connection. `trust`: the
    certificates for https; None for the usual ones. `proxy`: the URL of a proxy."""
    import openai

    return openai.AsyncOpenAI(
        api_key=provider.key or "none",  # removed again in `_preparing`
        base_url=provider.base_url,
        max_retries=0,
        timeout=openai.Timeout(None, connect=connect_timeout),
        http_client=_http_client(openai.DefaultAioHttpClient, provider, resolve, trust, proxy),
    )


def anthropic_sdk(
    provider: Provider,
    connect_timeout: float,
    resolve: Resolve,
    trust: ssl.SSLContext | None,
    proxy: str | None,
) -> AsyncAnthropic:
    """Return Anthropic's SDK for a provider. The arguments are those of `openai_sdk`."""
    import anthropic

    return anthropic.AsyncAnthropic(
        api_key=provider.key or "none",
        base_url=provider.base_url,
        max_retries=0,
        timeout=anthropic.Timeout(None, connect=connect_timeout),
        open_telemetry=False,
        http_client=_http_client(anthropic.DefaultAioHttpClient, provider, resolve, trust, proxy),
    )


def failures(provider: Provider) -> tuple[type[Exception], ...]:
    """Return the exceptions that the provider's SDK raises, besides those of its transport."""
    import httpx2

    if provider.kind == "anthropic":
        from anthropic import APIError as AnthropicError

        return (AnthropicError, httpx2.HTTPError, httpx2.StreamError)
    from openai import APIError

    return (APIError, httpx2.HTTPError, httpx2.StreamError)


def _usual_trust(url: str) -> ssl.SSLContext:
    """Return the usual certificates for https. For any other URL, return a context that trusts nobody:
    certificates are not needed, and loading them takes time."""
    return certificates() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _http_client(
    factory: type[httpx2.AsyncClient],
    provider: Provider,
    resolve: Resolve,
    trust: ssl.SSLContext | None,
    proxy: str | None,
) -> httpx2.AsyncClient:
    import httpx2

    limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEPT_ALIVE)
    hooks: dict[str, Any] = {"request": [_preparing(provider, resolve)], "response": [repairing(provider)]}
    # the environment is read in `network.py`
    return _direct_here(factory)(
        follow_redirects=False,
        limits=limits,
        event_hooks=hooks,
        verify=trust or _usual_trust(provider.base_url),
        proxy=proxy,
        trust_env=False,
    )


def _direct_here(factory: type[httpx2.AsyncClient]) -> type[httpx2.AsyncClient]:
    """Return a class of clients that call this machine without a proxy, under whatever address a name turned
    out to have. `mounts` would do it for single addresses only."""

    class Client(factory):  # type: ignore[misc, valid-type]
        def _transport_for_url(self, url: httpx2.URL) -> httpx2.AsyncBaseTransport:
            found: httpx2.AsyncBaseTransport = (
                self._transport if is_loopback(str(url)) else super()._transport_for_url(url)
            )
            return found

    return Client


def _preparing(provider: Provider, resolve: Resolve) -> Preparing:
    """Return a hook that changes each request before it is sent: it removes the SDK's own headers, and pins a
    checked address."""

    async def prepare(request: httpx2.Request) -> None:
        if not provider.key:
            for name in ("authorization", "x-api-key"):
                request.headers.pop(name, None)
        # a compressed body could not be repaired
        request.headers["accept-encoding"] = "identity"
        # the SDK reads these from the process's environment, whatever the provider
        for name in ("openai-organization", "openai-project"):
            request.headers.pop(name, None)
        if provider.reach is not None:
            if hops := HOPS.get():
                request.headers[HOPS_HEADER] = str(hops)
            await pin(request, provider.reach, resolve)

    return prepare
