"""The small models that the hub itself runs, as people manage them over the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rhetor.configuration import ConfigurationFile
from rhetor.drivers.local.models import LocalModels
from rhetor.reload import Reloading

Note = Callable[[int, int | None], None]


class LocalLibrary:
    """The models of one hub. What is pulled, removed or chosen counts for the next message."""

    def __init__(self, reloading: Reloading, configuration: ConfigurationFile) -> None:
        self._reloading = reloading
        self._configuration = configuration

    @property
    def _models(self) -> LocalModels:
        return self._reloading.small

    def listed(self) -> dict[str, Any]:
        return self._models.listed()

    async def pull_known(self, name: str, note: Note | None) -> dict[str, Any]:
        found = await self._models.pull_known(name, note)
        self._reloading.access.forget()
        return found

    async def pull_url(
        self, url: str, sha256: str, name: str | None, note: Note | None, *, loopback: bool
    ) -> dict[str, Any]:
        found = await self._models.pull_url(url, sha256, name, note, loopback=loopback)
        self._reloading.access.forget()
        return found

    async def use(self, name: str) -> dict[str, Any]:
        self._models.one(name)
        await self._configuration.patch({"models": {"local": {"use": name}}})
        self._reloading.access.forget()
        return self._models.one(name)

    async def remove(self, name: str) -> None:
        await self._models.remove(name)
        self._reloading.access.forget()
