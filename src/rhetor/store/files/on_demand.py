"""Opens the store of snapshots when it is needed, so that a hub starts without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from . import journal
from .base import Files, Journal, OpenFiles

if TYPE_CHECKING:
    from .sealing import FileSeal
    from .store import FileStore


class FilesOnDemand(OpenFiles):
    """See `FileStore` for the arguments."""

    def __init__(
        self,
        folder: Path,
        *,
        max_file_bytes: int,
        without: Sequence[Path] = (),
        seal: FileSeal | None = None,
    ) -> None:
        self._folder = folder
        self._seal = seal
        self.max_file_bytes = max_file_bytes
        self._without = without
        self._lock = Lock()
        self._store: FileStore | None = None

    def __call__(self) -> Files:
        return self._opened()

    def _opened(self) -> FileStore:
        with self._lock:
            if self._store is None:
                from .store import FileStore

                self._store = FileStore(
                    self._folder, max_file_bytes=self.max_file_bytes, without=self._without, seal=self._seal
                )
            self._store.max_file_bytes = self.max_file_bytes
            return self._store

    @property
    def exists(self) -> bool:
        return self._folder.exists()

    def unfinished(self) -> list[Journal]:
        return journal.read_all(self._folder, self._seal)

    def unfinished_on(self, machine: str) -> list[Journal]:
        return []  # this store has the files of one machine

    def seal_journals(self) -> None:
        """Seal the journals that an earlier hub has left plain, or with an earlier key. Call it before any
        restore begins.

        Raises:
            OSError: one cannot be written.
            SealBroken, KeysUnavailable, msgspec.DecodeError: one cannot be read.
        """
        if self._seal is not None and self._seal.active:
            for one in self.unfinished():
                journal.write(self._folder, one, self._seal)

    def seal_stored(self, wanted: Callable[[], bool] = lambda: True) -> bool:
        """See `FileStore.seal_stored`."""
        return self._opened().seal_stored(wanted) if self.exists else True

    def close(self) -> None:
        """Close the store if it is open."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None
