"""Reads the objects of a store that another process may be using."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Lock

from .objects import INDEX, Objects
from .sealing import FileSeal


class StoredObjects(Objects):
    """The objects of a store that another process may be using. Nothing is written.

    Raises:
        sqlite3.Error: the index cannot be opened.
    """

    def __init__(self, folder: Path, seal: FileSeal | None = None) -> None:
        self._folder = folder
        self._seal = seal
        self._writing = Lock()
        self._lock = Lock()
        place = f"{(folder / INDEX).absolute().as_uri()}?mode=ro"
        self._index = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
        self._names = self._has_names()

    def findings(self) -> list[str]:
        """Return what is wrong with the index, according to SQLite."""
        with self._lock:
            found = [finding for (finding,) in self._index.execute("pragma integrity_check(20)")]
        return [finding for finding in found if finding != "ok"]

    def all(self) -> list[tuple[bytes, int, int]]:
        """Return the digest or name, the pack and the size of each object, in the order in which they are
        stored."""
        with self._lock:
            return self._index.execute(
                "select digest, pack, bytes from objects order by pack, offset"
            ).fetchall()

    def is_listed(self, name: bytes) -> bool:
        """Whether the index has an object under this name."""
        return self._place([name]) is not None

    def has_pack(self, pack: int) -> bool:
        """Whether the file of a pack is there, or the index does not name the pack any more."""
        with self._lock:
            named = self._index.execute("select 1 from packs where id = ?", (pack,)).fetchone()
        return named is None or self._path(pack).exists()
