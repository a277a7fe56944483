"""HTTP clients: one per provider, created on first use, all closed together.

Creating one takes time (imports, certificates), so most of that happens in a thread.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from urllib.parse import quote

import msgspec

from rhetor.domain.parts import Take
from rhetor.drivers.models import errors
from rhetor.drivers.models.client import Client, is_success, whole
from rhetor.drivers.models.listed_takes import listed_takes
from rhetor.drivers.models.local import Local
from rhetor.drivers.models.local_models import ModelList
from rhetor.drivers.models.network import ProxyUnsupported, certificates, proxy_for
from rhetor.drivers.models.target import Provider, Target
from rhetor.drivers.models.urls import Resolve, resolved
from rhetor.errors import Unprocessable


class Clients:
    """The clients of all providers that were called. `connect_timeout`: seconds to establish a connection.
    `local`: the small models that the hub itself runs."""

    def __init__(
        self, connect_timeout: float = 10.0, resolve: Resolve = resolved, local: Local | None = None
    ) -> None:
        self._local = local
        self._connect_timeout = connect_timeout
        self._resolve = resolve
        self._made: dict[Provider, Client] = {}
        self._making = asyncio.Lock()

    async def get(self, provider: Provider) -> Client:
        """Return the client for a provider. The first call for a provider takes up to a second.

        Raises:
            ProviderFailed: the proxy that the environment sets for the provider cannot be used, or the
                process of a small model does not start.
        """
        if (client := self._made.get(provider)) is not None:
            return client
        if provider.local:
            assert self._local is not None  # it is where the provider is from
            return await self._local.client(provider.local)
        async with self._making:
            if provider not in self._made:
                try:
                    trust, proxy = await asyncio.to_thread(_prepared, provider.base_url)
                except ProxyUnsupported as error:
                    raise errors.proxy_unsupported(Target(provider, "*"), error) from error
                self._made[provider] = Client(provider, self._connect_timeout, self._resolve, trust, proxy)
            return self._made[provider]

    async def list_models(self, provider: Provider) -> list[str]:
        """Return the names of the provider's models; an empty list if the provider does not list them.

        Raises:
            ProviderFailed: the provider could not be reached, or refused the request.
        """
        if provider.local:
            return [provider.local]
        try:
            return msgspec.json.decode(await self._listing(provider), type=ModelList).names
        except msgspec.DecodeError:
            return []

    async def list_takes(self, provider: Provider) -> dict[str, frozenset[Take]]:
        """Return what each of the provider's models takes, as far as the provider says it.

        Raises:
            ProviderFailed: the provider could not be reached, or refused the request.
        """
        try:
            return listed_takes(msgspec.json.decode(await self._listing(provider)))
        except msgspec.DecodeError:
            return {}

    async def _listing(self, provider: Provider) -> bytes:
        """Return the provider's list of its models; empty if it has none.

        Raises:
            ProviderFailed: the provider could not be reached, or refused the request.
        """
        client, target = await self.get(provider), Target(provider, "*")
        try:
            path = "/v1/models" if provider.kind == "anthropic" else "/models"
            async with await client.get(path, self._connect_timeout) as answer:
                body = await whole(answer)
        except Unprocessable as error:
            raise errors.out_of_reach(target, error) from error
        except client.failures as error:
            raise errors.of_call(target, error, self._connect_timeout, time.time()) from error
        if answer.status in (404, 405):
            return b""
        if not is_success(answer.status):
            raise errors.refused(target, answer.status, body, answer.headers, time.time())
        return body

    async def has_model(self, provider: Provider, model: str) -> bool:
        """Return whether the provider knows a model by this name. If it does not say, return True.

        Raises:
            ProviderFailed: the provider could not be reached.
        """
        client = await self.get(provider)
        path = "/v1/models" if provider.kind == "anthropic" else "/models"
        try:
            async with await client.get(f"{path}/{quote(model, safe='')}", self._connect_timeout) as answer:
                return answer.status not in (400, 404, 405)
        except Unprocessable as error:
            raise errors.out_of_reach(Target(provider, model), error) from error
        except client.failures as error:
            target = Target(provider, model)
            raise errors.of_call(target, error, self._connect_timeout, time.time()) from error

    async def aclose(self) -> None:
        """Close all clients. Turns that are running fail."""
        for client in self._made.values():
            await client.aclose()
        self._made.clear()


def _prepared(url: str) -> tuple[ssl.SSLContext | None, str | None]:
    """Import the HTTP library, and return the certificates for https and the proxy. This takes time.

    Raises:
        ProxyUnsupported: the proxy for this URL cannot be used.
    """
    import aiohttp  # noqa: F401

    proxy = proxy_for(url)
    return certificates() if url.startswith("https:") else None, proxy
