"""Content-addressed objects in pack files. SQLite has the index: which pack has which object."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Collection, Iterator, Set
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from .base import DamagedObject
from .journal import fsync_folder
from .pack import Pack

INDEX = "objects.db"
VARIABLES = 500  # of one query; old versions of SQLite allow 999
IN_USE = 0.5  # a pack of which a smaller part is in use is written again
SCHEMA = """
create table if not exists packs (id integer primary key autoincrement, bytes integer not null);
create table if not exists objects (
  digest blob primary key, pack integer not null, offset integer not null, bytes integer not null
) without rowid;
create index if not exists objects_by_pack on objects (pack);
"""


class Objects:
    """The objects of all snapshots. Any thread may use it, but only one process.

    What a `pack` has stored survives a crash. The pack of an interrupted process is removed when the next one
    opens the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._writing = Lock()
        self._lock = Lock()  # of the connection
        self._index = sqlite3.connect(folder / INDEX, isolation_level=None, check_same_thread=False)
        self._index.execute("pragma journal_mode = wal")
        self._index.execute("pragma synchronous = full")
        self._index.executescript(SCHEMA)
        known = {self._path(pack) for pack, _ in self._packs()}
        for path in set(folder.glob("*.pack")) - known:
            path.unlink()

    def close(self) -> None:
        with self._writing, self._lock:
            self._index.close()

    @property
    def size(self) -> int:
        """The number of bytes in all packs."""
        return sum(size for _, size in self._packs())

    @contextmanager
    def pack(self) -> Iterator[Pack]:
        """Return a pack for new objects. When the block has ended without an error, they are stored."""
        with self._writing:
            number = self._next()
            with Pack(self._path(number), self._known) as pack:
                yield pack
                pack.finish()
                self._record(number, pack)

    def read(self, digest: bytes) -> bytes:
        """Return the content.

        Raises:
            DamagedObject: it is missing or damaged.
        """
        try:
            content = zstd.decompress(self._compressed(digest))
        except (OSError, zstd.ZstdError) as error:
            raise DamagedObject(f"the object {digest.hex()} cannot be read: {error}") from error
        if sha256(content).digest() != digest:
            raise DamagedObject(f"the object {digest.hex()} has other content")
        return content

    def _compressed(self, digest: bytes) -> bytes:
        missing = None
        while (place := self._place(digest)) is not None and place != missing:
            pack, offset, length = place
            try:
                with self._path(pack).open("rb") as file:
                    return os.pread(file.fileno(), length, offset)
            except FileNotFoundError:  # `keep` has moved the object to another pack meanwhile
                missing = place
        raise DamagedObject(f"the object {digest.hex()} is missing")

    def _place(self, digest: bytes) -> tuple[int, int, int] | None:
        with self._lock:
            found: tuple[int, int, int] | None = self._index.execute(
                "select pack, offset, bytes from objects where digest = ?", (digest,)
            ).fetchone()
        return found

    def sizes(self) -> dict[bytes, int]:
        """Return how many bytes each object takes, by digest."""
        with self._lock:
            return dict(self._index.execute("select digest, bytes from objects"))

    def keep(self, live: Set[bytes], in_use: float = IN_USE) -> int:
        """Remove the other objects. Return by how many bytes the store shrank.

        A pack of which a larger part than `in_use` is live keeps them.
        """
        with self._writing:
            return sum(self._keep(pack, size, live, in_use) for pack, size in self._packs())

    def _keep(self, number: int, size: int, live: Set[bytes], in_use: float) -> int:
        with self._lock:
            rows = self._index.execute(
                "select digest, offset, bytes from objects where pack = ? order by offset", (number,)
            ).fetchall()
        kept = [row for row in rows if row[0] in live]
        used = sum(length for _, _, length in kept)
        if used == size or used > in_use * size:
            return 0
        new = self._next()
        with Pack(self._path(new), self._known) as pack, self._path(number).open("rb") as old:
            for digest, offset, length in kept:
                pack.append([(digest, os.pread(old.fileno(), length, offset))])
            pack.finish()
            self._record(new, pack, instead_of=number)
        self._path(number).unlink()
        return size - pack.size

    def _record(self, number: int, pack: Pack, instead_of: int | None = None) -> None:
        fsync_folder(self._folder)
        rows = [(digest, number, offset, length) for digest, offset, length in pack.rows]
        with self._transaction():
            if instead_of is not None:
                self._index.execute("delete from objects where pack = ?", (instead_of,))
                self._index.execute("delete from packs where id = ?", (instead_of,))
            if rows:
                self._index.execute("insert into packs values (?, ?)", (number, pack.size))
                self._index.executemany("insert into objects values (?, ?, ?, ?)", rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what the block writes to the index, all or nothing.

        Raises:
            OSError: the index cannot be written; the disk is full, for example.
        """
        with self._lock:
            try:
                self._index.execute("begin immediate")
                yield
                self._index.execute("commit")
            except sqlite3.Error as error:
                raise OSError(errno.EIO, f"the index of files cannot be written: {error}") from error
            finally:
                if self._index.in_transaction:
                    self._index.rollback()

    def has(self, digest: bytes) -> bool:
        """Whether the object is stored."""
        with self._lock:
            found = self._index.execute("select 1 from objects where digest = ?", (digest,)).fetchone()
        return found is not None

    def _known(self, digests: Collection[bytes]) -> set[bytes]:
        """Return those of the digests whose objects are stored."""
        asked = list(digests)
        found: set[bytes] = set()
        with self._lock:
            for begin in range(0, len(asked), VARIABLES):
                some = asked[begin : begin + VARIABLES]
                marks = ", ".join("?" * len(some))
                sql = f"select digest from objects where digest in ({marks})"
                found.update(row[0] for row in self._index.execute(sql, some))
        return found

    def _packs(self) -> list[tuple[int, int]]:
        with self._lock:
            return self._index.execute("select id, bytes from packs").fetchall()

    def _next(self) -> int:
        with self._lock:
            row = self._index.execute("select seq from sqlite_sequence where name = 'packs'").fetchone()
        return int(row[0]) + 1 if row else 1

    def _path(self, pack: int) -> Path:
        return self._folder / f"{pack}.pack"


class StoredObjects(Objects):
    """The objects of a store that another process may be using. Nothing is written.

    Raises:
        sqlite3.Error: the index cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = Lock()
        self._lock = Lock()
        place = f"{(folder / INDEX).absolute().as_uri()}?mode=ro"
        self._index = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)

    def findings(self) -> list[str]:
        """Return what is wrong with the index, according to SQLite."""
        with self._lock:
            found = [finding for (finding,) in self._index.execute("pragma integrity_check(20)")]
        return [finding for finding in found if finding != "ok"]

    def all(self) -> list[tuple[bytes, int, int]]:
        """Return the digest, the pack and the size of each object, in the order in which they are stored."""
        with self._lock:
            return self._index.execute(
                "select digest, pack, bytes from objects order by pack, offset"
            ).fetchall()

    def has_pack(self, pack: int) -> bool:
        """Whether the file of a pack is there, or the index does not name the pack any more."""
        with self._lock:
            named = self._index.execute("select 1 from packs where id = ?", (pack,)).fetchone()
        return named is None or self._path(pack).exists()
