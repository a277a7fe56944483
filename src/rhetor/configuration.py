"""The configuration file of a running hub, as people change it over the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rhetor.errors import InvalidSettings, NameTaken, NotFound, StateConflict
from rhetor.reload import RESTART_ONLY, TLS, Reloading
from rhetor.settings.config_file import ConfigFile
from rhetor.settings.editing import Change, changes_of, edited
from rhetor.settings.file_text import digest_of, read_text
from rhetor.settings.variables import variable_of
from rhetor.specialists import BUILT_IN
from rhetor.transports.server.node import ConfigChange

SPECIALISTS = "specialists"


class ConfigurationFile:
    """The settings in force, and their file. Each change is checked as a whole before the file is replaced,
    and is in effect when the function returns."""

    def __init__(self, reloading: Reloading) -> None:
        self._reloading = reloading
        self._source = reloading.source

    @property
    def path(self) -> str:
        return str(self._source.path)

    def values(self) -> Sequence[tuple[str, Any, str]]:
        return self._source.shown(self._reloading.settings)

    def described(self) -> Sequence[Mapping[str, Any]]:
        from rhetor.settings.described import described  # for people who change settings

        return described(RESTART_ONLY | TLS)

    async def text(self) -> tuple[str, str]:
        text = await asyncio.to_thread(read_text, self._source.path)
        return text, digest_of(text)

    async def put(self, text: str, digest: str | None) -> ConfigChange:
        def replaced(before: str) -> str:
            if digest is not None and digest != digest_of(before):
                raise StateConflict("configuration", self.path, None, changed=True)
            return text

        done = await self._reloading.change(replaced)
        return ConfigChange(done.changed, done.needs_restart)

    async def patch(self, patch: Mapping[str, Any]) -> ConfigChange:
        made: list[Change] = []

        def patched(before: str) -> str:
            made[:] = changes_of(patch, self._written(before))
            return edited(before, made)

        done = await self._reloading.change(patched)
        found = {".".join(keys): variable_of(keys) for change in made for keys in _leaves(change)}
        overridden = [(key, variable) for key, variable in found.items() if variable]
        return ConfigChange(done.changed, done.needs_restart, overridden)

    def origin_of(self, specialist: str) -> str:
        if specialist not in BUILT_IN:
            return "own"
        return "changed" if specialist in self._reloading.settings.specialists else "built-in"

    async def add_specialist(self, name: str, values: Mapping[str, Any]) -> None:
        def added(before: str) -> str:
            if self._spelled(before, name) is not None:
                raise NameTaken("specialist", name)
            return edited(before, [Change((SPECIALISTS, name), dict(values))])

        await self._reloading.change(added)

    async def change_specialist(self, name: str, values: Mapping[str, Any]) -> None:
        def changed(before: str) -> str:
            known = self._require(before, name)
            own = self._own(before).get(known)
            if own is None:
                given = {key: value for key, value in values.items() if value is not None}
                return edited(before, [Change((SPECIALISTS, known), given)]) if given else before
            return edited(before, changes_of({SPECIALISTS: {known: values}}, self._written(before)))

        await self._reloading.change(changed)

    async def remove_specialist(self, name: str) -> None:
        def removed(before: str) -> str:
            known = self._require(before, name)
            is_own = known not in BUILT_IN
            return edited(before, [Change((SPECIALISTS, known), removes=is_own)])

        await self._reloading.change(removed)

    def _written(self, text: str) -> dict[str, Any]:
        return ConfigFile.read(self._source.path, text).values

    def _own(self, text: str) -> dict[str, Any]:
        """Return the entries of specialists in the file."""
        own = self._written(text).get(SPECIALISTS) or {}
        if not isinstance(own, dict):
            raise InvalidSettings(f"{self.path}: {SPECIALISTS}: must be a mapping")
        return own

    def _spelled(self, text: str, name: str) -> str | None:
        """Return the name of a specialist as it is written; None if there is none of this name."""
        own = self._own(text)
        known = [*(other for other in BUILT_IN if other not in own), *(n for n in own if own[n] is not None)]
        return next((each for each in known if each.lower() == name.lower()), None)

    def _require(self, text: str, name: str) -> str:
        known = self._spelled(text, name)
        if known is None:
            raise NotFound("specialist", name)
        return known


def _leaves(change: Change) -> Iterator[tuple[str, ...]]:
    left = [(change.keys, change.value)]
    while left:
        keys, value = left.pop()
        if isinstance(value, dict) and value:
            left += [((*keys, str(key)), inner) for key, inner in value.items()]
        else:
            yield keys
