"""Binary content as files whose name is the digest of their content.

A file is readable by its owner only, and it is complete when it has its name. The catalog records which blobs
are wanted and who may read them.
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
    """A folder with one file per blob. The folder (0700) is created with the first file (0600)."""

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
            raise StoreRefused(f"binary content could not be stored: {error.strerror}") from error
        return id

    def _write(self, id: str, content: bytes) -> None:
        """Write under a temporary name first, so that a file with a blob's name is complete and durable."""
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
