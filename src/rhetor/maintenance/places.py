"""Where a log can be: in a file of SQLite, with a folder of binary content beside it, or in PostgreSQL."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Protocol

from rhetor.domain.secrets import shown_url
from rhetor.errors import RhetorError
from rhetor.hub.core.ids import wall_clock
from rhetor.sealing.ring import Ring
from rhetor.store.base import random_epoch
from rhetor.store.sqlite import transfer
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.epochs import begin_new_epochs
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.transfer import Readable, Writable

from .folders import fsync, temporary
from .moved import MARK, mark, moved

ASIDE = "moved-{}"
SQLITE = "sqlite:"
POSTGRES = ("postgresql://", "postgres://")


class NotMoved(RhetorError):
    """The log cannot be moved there, or not now. Nothing was changed."""

    code, status = "not_moved", 409


class Place(Protocol):
    """A place for a log."""

    @property
    def name(self) -> str:
        """The place, as it is shown: without a password."""
        ...

    async def prepare(self) -> None:
        """Check the log, and bring it to the newest schema, as the start of a hub does.

        Raises:
            NotMoved: there is none, or it is in use.
            StoreDamaged, StoreRefused, KeysUnavailable: it cannot be opened.
        """
        ...

    async def has_log(self) -> bool:
        """Return whether there is a log already."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Readable]:
        """Open the log as a whole."""
        ...

    def writing(self) -> AbstractAsyncContextManager[Writable]:
        """Create a log, which is there, complete and durable, when the block has ended without an error."""
        ...

    async def leave(self, to: str) -> Path | None:
        """Let no hub continue the log here, because it is elsewhere now. Return where it was put aside."""
        ...

    def is_left(self, to: str) -> bool:
        """Return whether `leave` was begun, so that only it must be repeated."""
        ...


class SqlitePlace:
    """A file with a database, and its state folder around it. `ring`: opens what is sealed. `new_epochs`: the
    streams of a log that is written begin new ones, because clients may have seen more than it has."""

    def __init__(self, database: Path, ring: Ring, *, new_epochs: bool = False) -> None:
        self._database = database
        self._ring = ring
        self._new_epochs = new_epochs

    @property
    def name(self) -> str:
        return f"{SQLITE}{self._database}"

    async def prepare(self) -> None:
        if not self._database.exists():
            where = moved(self._database.parent)
            reason = f"its log was moved to {where.to}" if where else "name the state folder with --home"
            raise NotMoved(f"{self._database.parent} has no {self._database.name}; {reason}")
        store = await SqliteStore.open(self._database, clock=wall_clock, ring=self._ring, at_rest=None)
        await store.aclose()

    async def has_log(self) -> bool:
        return self._database.exists()

    def reading(self) -> AbstractAsyncContextManager[Readable]:
        return transfer.whole(self._database)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writable]:
        parent = self._database.parent
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary(parent, "moving-") as folder:
            made = folder / self._database.name
            async with transfer.new(made) as target:
                yield target
            if self._new_epochs:
                with closing(connect(made)) as connection:
                    begin_new_epochs(connection, sealing_of(connection, self._ring), random_epoch)
            self._publish(made)

    def _publish(self, made: Path) -> None:
        """Give everything its name; the database last, because without it there is no log."""
        parent = self._database.parent
        if (made.parent / "blobs").exists():
            (parent / "blobs").mkdir(mode=0o700, exist_ok=True)
            for blob in (made.parent / "blobs").iterdir():
                fsync(blob)
                blob.replace(parent / "blobs" / blob.name)
            fsync(parent / "blobs")
        fsync(made)
        made.replace(self._database)
        (parent / MARK).unlink(missing_ok=True)
        fsync(parent)

    async def leave(self, to: str) -> Path | None:
        home = self._database.parent
        mark(home, to)
        aside = home / ASIDE.format(time.strftime("%Y%m%d-%H%M%S"))
        # the database last: without it, the rest could not be put aside by a repeated command
        for path in self._files(home):
            aside.mkdir(mode=0o700, exist_ok=True)
            path.rename(aside / path.name)
        fsync(home)
        return aside if aside.exists() else None

    def is_left(self, to: str) -> bool:
        where = moved(self._database.parent)
        return where is not None and where.to == to and bool(self._files(self._database.parent))

    def _files(self, home: Path) -> Sequence[Path]:
        name = self._database.name
        names = ("blobs", f"{name}.lock", f"{name}-wal", f"{name}-shm", f"{name}.witness", name)
        return [home / each for each in names if os.path.lexists(home / each)]


class PostgresPlace:
    """A database of PostgreSQL."""

    def __init__(self, url: str) -> None:
        from rhetor.store.postgres import transfer as postgres

        self._url = url
        self._postgres = postgres
        self.name = shown_url(url)

    async def prepare(self) -> None:
        await self._postgres.prepare(self._url)
        if await self._postgres.is_moved(self._url):
            raise NotMoved(f"the log in {self.name} was moved away; remove store from the configuration")
        if not await self._postgres.has_log(self._url):
            raise NotMoved(f"there is no log in {self.name}; check the setting store")

    async def has_log(self) -> bool:
        await self._postgres.prepare(self._url)
        return await self._postgres.has_log(self._url)

    def reading(self) -> AbstractAsyncContextManager[Readable]:
        return self._postgres.whole(self._url)

    def writing(self) -> AbstractAsyncContextManager[Writable]:
        return self._postgres.new(self._url)

    async def leave(self, to: str) -> Path | None:
        await self._postgres.note_moved(self._url)
        return None

    def is_left(self, to: str) -> bool:
        return False  # one statement does it


def place_of(text: str, ring: Ring, *, new_epochs: bool = False) -> Place:
    """Return the place that `--to` names. `new_epochs`: see `SqlitePlace`.

    Raises:
        NotMoved: it names none.
    """
    if text.startswith(POSTGRES) and new_epochs:
        raise NotMoved("--new-epochs works with sqlite:PATH; move the log through a file")
    if text.startswith(POSTGRES):
        return PostgresPlace(text)
    if text.startswith(SQLITE) and len(text) > len(SQLITE):
        return SqlitePlace(Path(text.removeprefix(SQLITE)).absolute(), ring, new_epochs=new_epochs)
    kind = text.partition(":")[0]
    raise NotMoved(f"--to {kind}: write postgresql://USER@HOST/DATABASE or sqlite:PATH")


def source_of(home: Path, store: str, ring: Ring) -> Place:
    """Return where the log of a state folder is. `store`: the setting."""
    return PostgresPlace(store) if store.startswith(POSTGRES) else SqlitePlace(home / "hub.db", ring)
