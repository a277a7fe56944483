"""Content-addressed objects in pack files. SQLite has the index: which pack has which object."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from rhetor.errors import SealBroken

from .base import DamagedObject
from .journal import fsync_folder
from .pack import OBJECT, Pack
from .sealing import FileSeal, sealed_with

INDEX = "objects.db"
VARIABLES = 500  # of one query; old versions of SQLite allow 999
IN_USE = 0.5  # a pack of which a smaller part is in use is written again
NAMES = 1  # the version of an index with names of sealed objects
SCHEMA = """
create table if not exists packs (id integer primary key autoincrement, bytes integer not null);
create table if not exists objects (
  digest blob primary key, pack integer not null, offset integer not null, bytes integer not null
) without rowid;
create index if not exists objects_by_pack on objects (pack);
create table if not exists seals (pack integer primary key, key blob not null);
"""


class Objects:
    """The objects of all snapshots. Any thread may use it, but only one process.

    `seal`: seals new objects if it is active. The index then has their names instead of their digests, and in
    `seals` the key of each pack whose objects are all sealed with the same one.

    What a `pack` has stored survives a crash. The pack of an interrupted process is removed when the next one
    opens the folder.
    """

    def __init__(self, folder: Path, seal: FileSeal | None = None) -> None:
        self._folder = folder
        self._seal = seal
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._writing = Lock()
        self._lock = Lock()  # of the connection
        self._index = sqlite3.connect(folder / INDEX, isolation_level=None, check_same_thread=False)
        self._index.execute("pragma journal_mode = wal")
        self._index.execute("pragma synchronous = full")
        self._index.execute("pragma temp_store = memory")
        self._index.executescript(SCHEMA)
        self._names = self._has_names()
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
            with Pack(self._path(number), self._known, self._active) as pack:
                yield pack
                pack.finish()
                self._record(number, pack)

    def read(self, digest: bytes) -> bytes:
        """Return the content.

        Raises:
            DamagedObject: it is missing or damaged.
        """
        content = self._content(digest, self.names_of(digest))
        if sha256(content).digest() != digest:
            raise DamagedObject(f"the object {digest.hex()} has other content")
        return content

    def check(self, name: bytes) -> None:
        """Check the object that the index has under this name.

        Raises:
            DamagedObject: it is missing or damaged.
        """
        digest = sha256(self._content(name, [name])).digest()
        if name not in self.names_of(digest):
            raise DamagedObject(f"the object {name.hex()} has other content")

    def _content(self, shown: bytes, names: Sequence[bytes]) -> bytes:
        try:
            name, stored = self._stored(shown, names)
            if sealed_with(stored) is not None:
                if self._seal is None:
                    raise DamagedObject(f"the object {shown.hex()} is sealed, and there are no keys")
                stored = self._seal.open(stored, OBJECT, name)
            return zstd.decompress(stored)
        except (OSError, zstd.ZstdError, SealBroken) as error:
            raise DamagedObject(f"the object {shown.hex()} cannot be read: {error}") from error

    def _stored(self, shown: bytes, names: Sequence[bytes]) -> tuple[bytes, bytes]:
        missing = None
        while (found := self._place(names)) is not None and found != missing:
            name, pack, offset, length = found
            try:
                with self._path(pack).open("rb") as file:
                    return name, os.pread(file.fileno(), length, offset)
            except FileNotFoundError:  # `keep` has moved the object to another pack meanwhile
                missing = found
        raise DamagedObject(f"the object {shown.hex()} is missing")

    def _place(self, names: Sequence[bytes]) -> tuple[bytes, int, int, int] | None:
        sql = f"select digest, pack, offset, bytes from objects where digest in ({_marks(names)})"
        with self._lock:
            found: tuple[bytes, int, int, int] | None = self._index.execute(sql, names).fetchone()
        return found

    def names_of(self, digest: bytes) -> list[bytes]:
        """Return what the index may call the object."""
        if self._seal is None or not self._names:
            return [digest]
        return [self._seal.name(digest), digest]

    @property
    def _active(self) -> FileSeal | None:
        return self._seal if self._seal is not None and self._seal.active else None

    def _has_names(self) -> bool:
        """Whether the index has, or may soon have, names of sealed objects."""
        return self._active is not None or self._index.execute("pragma user_version").fetchone()[0] == NAMES

    def sizes(self) -> dict[bytes, int]:
        """Return how many bytes each object takes, by what the index calls it."""
        with self._lock:
            return dict(self._index.execute("select digest, bytes from objects"))

    def keep(self, live: Set[bytes], in_use: float = IN_USE) -> int:
        """Remove the other objects. Return by how many bytes the store shrank.

        A pack of which a larger part than `in_use` is live keeps them.
        """
        with self._writing:
            names = {name for digest in live for name in self.names_of(digest)}
            return sum(self._keep(pack, size, names, in_use) for pack, size in self._packs())

    def seal_next(self) -> bool:
        """Seal the objects of one pack in which some are plain, or are sealed with an earlier key. Return
        whether there was one.

        Raises:
            OSError: the store cannot be written. Nothing was lost.
        """
        with self._writing:
            number = self._unsealed()
            if number is None:
                return False
            self._seal_pack(number)
            return True

    def _unsealed(self) -> int | None:
        if self._active is None:
            return None
        sql = (
            "select id from packs where id not in (select pack from seals where key = ?) order by id limit 1"
        )
        with self._lock:
            found = self._index.execute(sql, (self._active.key,)).fetchone()
        return int(found[0]) if found else None

    def _seal_pack(self, number: int) -> None:
        seal = self._active
        assert seal is not None
        new = self._next()
        with Pack(self._path(new), self._known) as pack, self._path(number).open("rb") as old:
            for name, offset, length in self._rows(number):
                stored = os.pread(old.fileno(), length, offset)
                if sealed_with(stored) is None:
                    name = seal.name(name)
                else:
                    stored = seal.open(stored, OBJECT, name)
                pack.append([(name, seal.seal(stored, OBJECT, name))])
            pack.finish()
            self._record(new, pack, instead_of=number)
        self._path(number).unlink()

    def scrub(self) -> None:
        """Write the index again, so that its file has nothing more of what was deleted."""
        with self._writing, self._lock:
            self._index.execute("vacuum")
            self._index.execute("pragma wal_checkpoint(truncate)")

    def _rows(self, number: int) -> list[tuple[bytes, int, int]]:
        with self._lock:
            return self._index.execute(
                "select digest, offset, bytes from objects where pack = ? order by offset", (number,)
            ).fetchall()

    def _keep(self, number: int, size: int, live: Set[bytes], in_use: float) -> int:
        kept = [row for row in self._rows(number) if row[0] in live]
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
                self._index.execute("delete from seals where pack = ?", (instead_of,))
            if rows:
                self._index.execute("insert into packs values (?, ?)", (number, pack.size))
                self._index.executemany("insert or replace into objects values (?, ?, ?, ?)", rows)
                if pack.keys != {None}:
                    self._index.execute(f"pragma user_version = {NAMES}")
                if len(pack.keys) == 1 and (key := next(iter(pack.keys))) is not None:
                    self._index.execute("insert into seals values (?, ?)", (number, key))

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
        return self._place(self.names_of(digest)) is not None

    def _known(self, digests: Collection[bytes]) -> set[bytes]:
        """Return those of the digests whose objects are stored."""
        asked = {name: digest for digest in digests for name in self.names_of(digest)}
        names = list(asked)
        found: set[bytes] = set()
        with self._lock:
            for begin in range(0, len(names), VARIABLES):
                some = names[begin : begin + VARIABLES]
                sql = f"select digest from objects where digest in ({_marks(some)})"
                found.update(asked[row[0]] for row in self._index.execute(sql, some))
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


def _marks(values: Sequence[bytes]) -> str:
    return ", ".join("?" * len(values))
