"""A pack file: new objects, compressed, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from .sealing import FileSeal, sealed_with

OBJECT = "object"
LEVEL = 1  # of compression: as fast as hashing
BATCH = 2 << 20  # bytes of content that a thread compresses at a time
BATCHES = 8  # that wait in memory at most


class Pack:
    """A file of new objects. Threads compress them, because that releases the interpreter lock.

    `known`: returns which of some digests are stored already. It is asked once for each batch. With a `seal`,
    new objects are sealed; their rows then have their names. `keys`: the ids of the keys with which objects
    in the file are sealed, and None if one is plain.
    """

    def __init__(
        self,
        path: Path,
        known: Callable[[Collection[bytes]], Set[bytes]],
        seal: FileSeal | None = None,
    ) -> None:
        self._path = path
        self._known = known
        self._seal = seal
        self.keys: set[bytes | None] = set()
        self._file = path.open("xb")
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "compress")
        self._seen: set[bytes] = set()
        self._batch: dict[bytes, bytes] = {}
        self._waiting = 0  # bytes of the batch
        self._pending: list[Future[list[tuple[bytes, bytes]]]] = []
        self.rows: list[tuple[bytes, int, int]] = []
        self.size = 0  # of the file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._file.close()
        if kind is not None or not self.rows:
            self._path.unlink()

    def put(self, content: bytes) -> bytes:
        """Store the content if it is new. Return its digest."""
        digest = sha256(content).digest()
        if digest not in self._seen:
            self._seen.add(digest)
            self._batch[digest] = content
            self._waiting += len(content)
            if self._waiting >= BATCH:
                self._submit()
        return digest

    def append(self, compressed: Sequence[tuple[bytes, bytes]]) -> None:
        """Append objects that are compressed, and sealed, already, each with its digest or name."""
        for name, content in compressed:
            self.rows.append((name, self.size, len(content)))
            self.size += len(content)
            self.keys.add(sealed_with(content))
        self._file.write(b"".join(content for _, content in compressed))

    def finish(self) -> None:
        """Write everything to the disk."""
        self._submit()
        self._collect(0)
        self._file.flush()
        if self.rows:
            os.fsync(self._file.fileno())

    def _submit(self) -> None:
        known = self._known(self._batch.keys())
        new = [(digest, content) for digest, content in self._batch.items() if digest not in known]
        self._pending.append(self._threads.submit(_compressed, new, self._seal))
        self._batch, self._waiting = {}, 0
        self._collect(BATCHES)

    def _collect(self, most: int) -> None:
        while len(self._pending) > most:
            self.append(self._pending.pop(0).result())


def _compressed(batch: list[tuple[bytes, bytes]], seal: FileSeal | None) -> list[tuple[bytes, bytes]]:
    compressor = zstd.ZstdCompressor(level=LEVEL)  # its tables are cleared faster than made anew
    compressed = [
        (digest, compressor.compress(content, zstd.ZstdCompressor.FLUSH_FRAME)) for digest, content in batch
    ]
    if seal is None:
        return compressed
    named = [(seal.name(digest), content) for digest, content in compressed]
    return [(name, seal.seal(content, OBJECT, name)) for name, content in named]
