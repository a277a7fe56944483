"""Binary content as files whose name is the digest of their content.

A file is readable by its owner only, and it is complete when it has its name. The catalog records which blobs
are wanted and who may read them.

With a ring of keys, new blobs are sealed. The id of such a blob is a digest that only the holder of the keys
can compute, because ids are in the catalog, and the digest of a well-known file would say that it was sent.
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
from rhetor.sealing.envelope import HEAD_BYTES, is_sealed, key_id_of
from rhetor.sealing.ring import Ring

ID = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """A folder with one file per blob. The folder (0700) is created with the first file (0600).

    `ring`: opens sealed blobs; with `sealed`, it seals new ones.
    """

    def __init__(self, folder: Path, ring: Ring | None = None, *, sealed: bool = False) -> None:
        self._folder = folder
        self._ring = ring
        self._sealing = ring if sealed else None

    async def keep(self, content: bytes) -> str:
        return await asyncio.to_thread(self._keep, content)

    async def read(self, id: str) -> bytes:
        return await asyncio.to_thread(self._read, id)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        gone = 0
        for name in await asyncio.to_thread(self._names):
            if not (ID.fullmatch(name) and await is_wanted(name)):
                await asyncio.to_thread(self._remove, name)
                gone += 1
        return gone

    async def remove(self, id: str) -> None:
        if not ID.fullmatch(id):
            return
        try:
            await asyncio.to_thread(self._remove, id)
        except OSError as error:
            raise StoreRefused(f"binary content could not be removed: {error.strerror}") from error

    def _keep(self, content: bytes) -> str:
        id = id_of(content, self._sealing)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not (self._folder / id).exists():
                self._write(id, self._sealed(id, content))
        except OSError as error:
            raise StoreRefused(f"binary content could not be stored: {error.strerror}") from error
        return id

    def _write(self, id: str, content: bytes) -> None:
        """Write under a temporary name first, so that a file with a blob's name is complete and durable."""
        draft = self._folder / f"{id}.{secrets.token_hex(4)}"
        try:
            with open(draft, "xb", opener=private) as file:
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
        if not ID.fullmatch(id):
            raise NotFound("blob", id)
        try:
            return self.check(id)
        except OSError as error:
            raise NotFound("blob", id) from error

    def check(self, id: str) -> bytes:
        """Return the content of a blob.

        Raises:
            OSError: it cannot be read.
            NotFound: its content is not what was stored.
            SealBroken, KeysUnavailable: it is sealed, and cannot be opened.
        """
        return opened(id, (self._folder / id).read_bytes(), self._ring)

    def _sealed(self, id: str, content: bytes) -> bytes:
        return content if self._sealing is None else self._sealing.seal(content, place_of(id))

    def seal_stored(self, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Seal the blobs that are plain, or are sealed with an earlier key, one at a time. Stop when `wanted`
        is not true any more. Return whether all are sealed. No effect if new ones are not sealed.

        Raises:
            OSError: a file cannot be written; its blob is as before.
            NotFound, SealBroken, KeysUnavailable: a blob is damaged, or cannot be opened.
        """
        for id in self._names() if self._sealing is not None else ():
            if not wanted():
                return False
            if ID.fullmatch(id) and not self._is_current(id):
                self._write(id, self._sealed(id, self._read(id)))
        return True

    def _is_current(self, id: str) -> bool:
        """Whether the blob is sealed with the key for new content, or is not there any more."""
        assert self._sealing is not None
        try:
            with (self._folder / id).open("rb") as file:
                head = file.read(HEAD_BYTES)
        except FileNotFoundError:
            return True
        if not is_sealed(head) or key_id_of(head) != self._sealing.current:
            return False
        # the content of a plain blob may begin in the same way
        return hashlib.sha256((self._folder / id).read_bytes()).hexdigest() != id

    def _names(self) -> list[str]:
        try:
            return sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            return []

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)


def id_of(content: bytes, sealing: Ring | None) -> str:
    """Return the id of a blob. `sealing`: what seals it, if anything."""
    id = hashlib.sha256(content).hexdigest()
    return id if sealing is None else sealing.digest(f"blob {id}").rpartition(":")[2]


def place_of(id: str) -> bytes:
    """Return the place for which a blob is sealed."""
    return b"blob\0" + id.encode()


def opened(id: str, stored: bytes, ring: Ring | None) -> bytes:
    """Return the content of a blob from what is stored of it.

    Raises:
        NotFound: it is not what was stored.
        SealBroken, KeysUnavailable: it is sealed, and cannot be opened.
    """
    if hashlib.sha256(stored).hexdigest() == id:
        return stored
    if ring is None or not is_sealed(stored):
        raise NotFound("blob", id)
    return ring.open(stored, place_of(id))


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: an `opener` of `open`."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
