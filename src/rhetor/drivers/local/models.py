"""The small models of one hub: which there are, getting more of them, and running them."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec.structs import asdict

from rhetor.domain.timestamps import timestamp
from rhetor.drivers.models.client import Client
from rhetor.drivers.models.local import LOCAL, local_target
from rhetor.drivers.models.urls import Reach
from rhetor.errors import ModelUnknown, NotFound, Unprocessable

from . import download, wheel
from .files import MODEL, NAME, ModelFile, ModelFiles, Note
from .known import KNOWN
from .process import LocalProcesses

LIBRARY = "xllamacpp"
INSTALL = "install the extra `local`: uv pip install 'tekton-aish[local]'"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class LocalModels:
    """The models in `folder`. `use`: the one that `auto` may take; None for none. `idle`: seconds after which
    the process of a model ends."""

    def __init__(self, folder: Path, environment: Mapping[str, str], use: str | None, idle: float) -> None:
        self.use = use
        self._environment = environment
        self._files = ModelFiles(folder)
        self._processes = LocalProcesses(folder, environment, idle)
        self._pulling = asyncio.Lock()

    def configure(self, use: str | None, idle: float) -> None:
        """Use other settings from now on."""
        self.use, self._processes.idle = use, idle

    @property
    def is_installed(self) -> bool:
        """Whether the library that runs models is installed."""
        return importlib.util.find_spec(LIBRARY) is not None

    def names(self) -> Sequence[str]:
        """As `Local.names`."""
        return [file.name for file in self._files.listed()] if self.is_installed else []

    def ready(self) -> str | None:
        """As `Local.ready`."""
        there = self.use is not None and self._files.find(self.use) is not None and self.is_installed
        return self.use if there else None

    def require(self, name: str) -> None:
        """As `Local.require`."""
        hint = INSTALL
        if self._files.find(name) is None:
            has = [local_target(file.name).ref for file in self._files.listed()]
            pull = f"run: aish models pull {name if name in KNOWN else next(iter(KNOWN))}"
            hint = f"available: {', '.join(has)}" if has and name not in KNOWN else pull
            raise _unknown(name, f"there is no local model called {name!r}", hint)
        if not self.is_installed:
            raise _unknown(name, f"{LIBRARY}, which runs local models, is not installed", hint)

    async def client(self, name: str) -> Client:
        """As `Local.client`."""
        self.require(name)
        file = self._files.find(name)
        assert file is not None
        return await self._processes.client(file, self._files.path(name))

    def listed(self) -> dict[str, Any]:
        """Return the models and what could be pulled, as JSON values."""
        files = self._files.listed()
        there = {file.sha256 for file in files}
        return {
            "models": [self._shape(file) for file in files],
            "known": [
                {"name": name, "bytes": known.bytes, "source": known.requirement}
                for name, known in KNOWN.items()
                if known.sha256 not in there
            ],
            "installed": self.is_installed,
            "use": self.use,
            "idle": self._processes.idle,
        }

    async def pull_known(self, name: str, note: Note | None) -> dict[str, Any]:
        """Fetch a model that has a name here; return what `listed` has for it.

        Raises:
            NotFound: there is none of this name.
            DownloadFailed: it could not be fetched.
            Unprocessable: what was fetched is not the model.
        """
        if (known := KNOWN.get(name)) is None:
            raise NotFound(MODEL, name)
        async with self._pulling:
            if self._is_there(name, known.sha256):
                return self.one(name)
            self._files.require_free(name, known.sha256)
            part = self._files.part(known.sha256)
            await wheel.fetch(known, part, self._environment)
            return await self._adopted(name, part, known.sha256, known.requirement, note)

    async def pull_url(
        self, url: str, sha256: str, name: str | None, note: Note | None, *, loopback: bool
    ) -> dict[str, Any]:
        """Fetch a GGUF file; return what `listed` has for it. `name`: by default, that of the file.
        `loopback`: the URL may name this machine.

        Raises:
            Unprocessable: the URL may not be called, or what is there is not the model with this digest.
            NameTaken: there is another model of this name.
            DownloadFailed: it did not arrive.
        """
        if not _SHA256.fullmatch(sha256):
            raise Unprocessable("sha256 must be 64 hexadecimal digits, in lower case")
        name = name or name_of(url)
        if not NAME.fullmatch(name):
            raise Unprocessable(
                f"{name!r} is not a valid name for a local model; use a-z, 0-9, '.', '_' and '-'"
            )
        async with self._pulling:
            if self._is_there(name, sha256):
                return self.one(name)
            self._files.require_free(name, sha256)
            part = self._files.part(sha256)
            await download.fetch(url, part, Reach(loopback=loopback), note)
            return await self._adopted(name, part, sha256, url, note)

    async def remove(self, name: str) -> None:
        """Remove a model, and end its process.

        Raises:
            NotFound: there is none of this name.
        """
        self._files.remove(name)
        if not self._pulling.locked():
            self._files.remove_given_up()
        await self._processes.end(name)

    def one(self, name: str) -> dict[str, Any]:
        """Return what `listed` has for a model.

        Raises:
            NotFound: there is none of this name.
        """
        if (file := self._files.find(name)) is None:
            raise NotFound(MODEL, name)
        return self._shape(file)

    async def aclose(self) -> None:
        """End all processes."""
        await self._processes.aclose()

    def _is_there(self, name: str, sha256: str) -> bool:
        file = self._files.find(name)
        return file is not None and file.sha256 == sha256

    async def _adopted(
        self, name: str, part: Path, sha256: str, source: str, note: Note | None
    ) -> dict[str, Any]:
        await asyncio.to_thread(self._files.adopt, name, part, sha256, source, note)
        return self.one(name)

    def _shape(self, file: ModelFile) -> dict[str, Any]:
        return {
            **asdict(file),
            "source": _shown(file.source),
            "model": local_target(file.name).ref,
            "pulled_at": timestamp(int(file.pulled_at * 1000)),
            "in_use": file.name == self.use,
            "pid": self._processes.pids.get(file.name),
        }


def name_of(url: str) -> str:
    """Return the name for a model: that of its file, without what no name may have."""
    file = unquote(urlsplit(url).path.rpartition("/")[2]).removesuffix(".gguf").lower()
    return re.sub(r"[^a-z0-9._-]+", "-", file).strip("-._")[:64]


def _shown(source: str) -> str:
    """Return a source as every caller may see it: a URL without what may be a secret in it."""
    if "://" not in source:
        return source
    url = urlsplit(source)
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _unknown(name: str, detail: str, hint: str) -> ModelUnknown:
    return ModelUnknown(detail, provider=LOCAL, model=name, status=None, hint=hint)
