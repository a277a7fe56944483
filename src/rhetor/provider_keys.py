"""The API keys that the user has stored, as the running hub uses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from rhetor.domain.secrets import Secrets, is_secret
from rhetor.domain.timestamps import timestamp
from rhetor.errors import KeysUnavailable, NotFound
from rhetor.reload import Reloading
from rhetor.store.api_keys import ApiKeys, StoredKey

log = logging.getLogger(__name__)
PROVIDER = "provider"


class ProviderKeys:
    """The stored keys of one hub. `secrets`: masks them wherever they occur. `reloading` must be set before
    the API is used."""

    def __init__(self, stored: ApiKeys, secrets: Secrets) -> None:
        self._stored = stored
        self._secrets = secrets
        self._values: Mapping[str, str] | None = None
        self._changes = 0
        self.reloading: Reloading | None = None

    async def kept(self) -> Mapping[str, str]:
        """Return the keys by the name of the provider. If they cannot be read, that is logged, and tried
        again the next time."""
        while self._values is None:
            changes = self._changes
            try:
                found, fault = await asyncio.to_thread(self._stored.values)
            except KeysUnavailable as error:
                found, fault = {}, error
            self._secrets.add(filter(is_secret, found.values()))
            if fault is not None:
                log.error("stored API keys cannot be used", extra={"reason": fault.detail})
                return found
            if changes == self._changes:  # otherwise a key was stored while they were read
                self._values = found
        return self._values

    async def listed(self) -> list[dict[str, Any]]:
        """Return for each provider where its key is; never the key.

        Raises:
            KeysUnavailable: the stored keys cannot be read.
        """
        stored = {each.provider: each for each in await asyncio.to_thread(self._stored.listed)}
        places = self._places()
        unknown = {name: "" for name in stored if name not in places}
        return [self._shape(name, stored.get(name), at) for name, at in {**places, **unknown}.items()]

    async def put(self, provider: str, key: str) -> dict[str, Any]:
        """Store the key of a provider, and use it from the next call on.

        Raises:
            NotFound: there is no such provider.
            KeysUnavailable: the key cannot be stored.
        """
        if provider not in self._places():
            raise NotFound(PROVIDER, provider)
        self._secrets.add(filter(is_secret, [key]))
        stored = await asyncio.to_thread(self._stored.put, provider, key)
        self._use()
        return self._shape(provider, stored, self._places()[provider])

    async def remove(self, provider: str) -> None:
        """Remove the key of a provider.

        Raises:
            NotFound: none is stored.
            KeysUnavailable: the stored keys cannot be read or written.
        """
        if not await asyncio.to_thread(self._stored.remove, provider):
            raise NotFound("stored key of", provider)
        self._use()

    def _use(self) -> None:
        assert self.reloading is not None and self.reloading.node is not None
        self._values = None
        self._changes += 1
        node = self.reloading.node
        self.reloading.access.forget()
        node.told_offline = False
        node.hub.state.background.start(self.reloading.access.check_models(), "models")

    def _places(self) -> Mapping[str, str]:
        assert self.reloading is not None
        return self.reloading.access.key_variables

    def _shape(self, name: str, stored: StoredKey | None, variable: str) -> dict[str, Any]:
        return {
            "name": name,
            "stored": stored and stored.place,
            "set_at": stored and timestamp(stored.set_at),
            "variable": variable or None,
            "source": "environment" if variable else "stored" if stored else None,
        }
