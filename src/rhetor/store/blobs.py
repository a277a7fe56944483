"""Binary content as files: named by what they hold, readable by their owner alone, whole or not there.

It knows neither events nor who may read: the catalog says which blobs are wanted.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from rhetor.errors import NotFound, StoreRefused

_NAME = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """A folder with one file a blob, 0600; the folder is made with the first of them, 0700."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, content: bytes) -> str:
        return await asyncio.to_thread(self._keep, content)

    async def read(self, id: str) -> bytes:
        return await asyncio.to_thread(self._read, id)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        gone = 0
        for name in await asyncio.to_thread(self._names):
            if not (_NAME.fullmatch(name) and await is_wanted(name)):
                await asyncio.to_thread(self._remove, name)
                gone += 1
        return gone

    def _keep(self, content: bytes) -> str:
        id = hashlib.sha256(content).hexdigest()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not (self._folder / id).exists():
                self._write(id, content)
        except OSError as error:
            raise StoreRefused(f"binary content cannot be kept: {error.strerror}") from error
        return id

    def _write(self, id: str, content: bytes) -> None:
        """Under another name first: a file that has its name is whole, and on the disk."""
        draft = self._folder / f"{id}.{secrets.token_hex(4)}"
        try:
            with open(draft, "xb", opener=_private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._folder / id)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, id: str) -> bytes:
        if not _NAME.fullmatch(id):
            raise NotFound("blob", id)
        try:
            content = (self._folder / id).read_bytes()
        except OSError as error:
            raise NotFound("blob", id) from error
        if hashlib.sha256(content).hexdigest() != id:
            raise NotFound("blob", id)
        return content

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return []

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
