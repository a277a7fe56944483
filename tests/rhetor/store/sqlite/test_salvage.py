"""Files that were damaged, or replaced by an older copy, while the store was closed or killed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rhetor.domain.event import Folded, MessageAccepted, OutputDelta, Position
from rhetor.store.base import Draft, Head, Key, Record, Row, check_position
from rhetor.store.sqlite.store import SqliteStore
from tests.scale import FULL

pytestmark = pytest.mark.anyio

STREAMS = ("s", "t", "u")
clock = itertools.count(1).__next__


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, clock=clock, salvages=True)
    try:
        yield store
    finally:
        await store.aclose()


async def say(store: SqliteStore, stream: str, text: str) -> None:
    await store.commit(
        stream, [Draft(MessageAccepted("m", "user", text), "t"), Draft(OutputDelta(text * 20), "t")]
    )


async def history(store: SqliteStore, stream: str) -> tuple[Head, list[Record]]:
    """The head and all records of a stream, whose numbers have no gap."""
    head = await store.head(stream)
    assert head is not None
    records: list[Record] = []
    after = Position(head.epoch, head.earliest - 1)
    while page := await store.page(stream, after):
        records += page
        after = page[-1].position
    assert [record.prev for record in records] == [head.earliest - 1, *(r.seq for r in records[:-1])]
    assert after.seq == head.head
    return head, records


Histories = dict[str, tuple[Head, list[Record]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Histories]:
    """A folder with a closed database, and its histories, shared by all tests of this file."""
    folder = tmp_path_factory.mktemp("made")
    return folder, asyncio.run(_filled(folder / "hub.db"))


def filled(path: Path, made: tuple[Path, Histories]) -> Histories:
    """Copy the database and the store's files next to it to `path`."""
    folder, histories = made
    for file in folder.iterdir():
        shutil.copy(file, path.with_name(file.name))
    return histories


async def _filled(path: Path) -> Histories:
    async with opened(path) as store:
        for n in range(60):
            for stream in STREAMS:
                await say(store, stream, f"message {n} of {stream}")
            row = Row("turn", f"t{n}", "x", b"{}", owner="me", name=f"n{n}")
            await store.commit("s", [], rows=[row], key=Key("me", f"k{n}", "print"))
        return {stream: await history(store, stream) for stream in STREAMS}


def kept_of(path: Path) -> list[Path]:
    """Return the damaged files that were kept."""
    return [p for p in path.parent.glob(f"{path.name}.damaged-*") if not p.name.endswith(("-wal", "-shm"))]


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


async def test_an_older_copy_starts_a_new_epoch_even_if_it_has_grown_past_the_cursor(
    tmp_path: Path, made: tuple[Path, Histories]
) -> None:
    path = tmp_path / "hub.db"
    before = filled(path, made)
    shutil.copy(path, tmp_path / "copy")
    async with opened(path) as store:
        assert store.notices == []
        await say(store, "s", "lost")
        cursor = (await history(store, "s"))[0].position
    shutil.copy(tmp_path / "copy", path)
    async with opened(path) as store:
        (notice,) = store.notices
        assert f"{path} is older than it was when the hub stopped" in notice
        for n in range(5):
            await say(store, "s", f"another history {n}")
        head, records = await history(store, "s")
        assert head.head > cursor.seq
        assert check_position(head, cursor) == "epoch_changed"
        assert [r.data for r in records][: len(before["s"][1])] == [r.data for r in before["s"][1]]
    async with opened(path) as store:  # reported once
        assert store.notices == []
        assert (await history(store, "s"))[0].epoch == head.epoch


@pytest.mark.parametrize("killed", [False, True])
async def test_a_copy_made_while_the_store_was_open_is_detected(tmp_path: Path, killed: bool) -> None:
    path, other = tmp_path / "hub.db", tmp_path / "other"
    other.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(path))
        await say(store, "s", "kept")
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(tmp_path / "copy")) as copy,
        ):
            source.backup(copy)
        await say(store, "s", "lost")
        cursor = (await history(store, "s"))[0].position
        shutil.copy(tmp_path / "hub.db.witness", other / "hub.db.witness")  # as if it was killed now
    place = other / "hub.db" if killed else path
    shutil.copy(tmp_path / "copy", place)
    async with opened(place) as store:
        assert "is older than it was" in store.notices[0]
        assert check_position((await history(store, "s"))[0], cursor) == "epoch_changed"


async def test_a_copy_of_the_newest_file_and_a_killed_store_change_nothing(
    tmp_path: Path, made: tuple[Path, Histories]
) -> None:
    path = tmp_path / "hub.db"
    before = filled(path, made)
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").rename(path)
    async with opened(path) as store:
        assert store.notices == []
        assert {stream: await history(store, stream) for stream in STREAMS} == before
        await say(store, "s", "more")
        for name in ("hub.db", "hub.db-wal", "hub.db.witness"):
            (tmp_path / "killed").mkdir(exist_ok=True)
            shutil.copy(tmp_path / name, tmp_path / "killed" / name)
    async with opened(tmp_path / "killed" / "hub.db") as store:
        assert store.notices == []
        assert (await history(store, "s"))[0].epoch == before["s"][0].epoch


async def test_a_broken_index_is_found_after_a_clean_stop_and_nothing_is_lost(
    tmp_path: Path, made: tuple[Path, Histories]
) -> None:
    path = tmp_path / "hub.db"
    before = filled(path, made)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            PRAGMA writable_schema = 1;
            UPDATE sqlite_master SET sql = 'CREATE INDEX rows_state ON rows (kind, owner)'
                WHERE name = 'rows_state';
        """)
    async with opened(path) as store:
        assert "nothing is missing" in store.notices[0]
        assert {stream: await history(store, stream) for stream in STREAMS} == before
        assert len(await store.find("turn", state="x")) == 60
    assert kept_of(path)


@pytest.mark.long
async def test_readable_data_of_a_damaged_file_is_salvaged_and_the_file_kept(
    tmp_path: Path, made: tuple[Path, Histories]
) -> None:
    """Overwrite bytes at many offsets: salvaged data is unchanged, in its place or in another epoch."""
    path = tmp_path / "hub.db"
    before = filled(path, made)
    sound = path.read_bytes()
    place = random.Random(7)
    reported = 0
    for number in range(100 if FULL else 12):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("hub.db", "hub.db.witness"):
            shutil.copy(tmp_path / name, folder / name)
        page = place.randrange(0 if number % 4 == 0 else 1, len(sound) // 4096) * 4096
        overwrite(folder / "hub.db", page, place.randbytes(64))
        async with opened(folder / "hub.db") as store:
            assert len(store.notices) == 1
            reported += "was damaged" in store.notices[0]
            for stream in STREAMS:
                head = await store.head(stream)
                if head is None:  # nothing could be salvaged
                    continue
                head, records = await history(store, stream)
                known = {record.seq: record.data for record in before[stream][1]}
                assert all(known[r.seq] == r.data for r in records if r.type != Folded.type)
                if [record.seq for record in records] != list(known):
                    assert head.epoch != before[stream][0].epoch
            await say(store, "s", "it goes on")
        assert len(kept_of(folder / "hub.db")) == (1 if "was damaged" in store.notices[0] else 0)
    assert reported


@pytest.mark.parametrize(
    ("damage", "rows"),
    [
        ("UPDATE events SET data = x'7b' WHERE inc = 1 AND seq = 5", 60),
        ("UPDATE events SET turn_id = CAST(x'ff' AS TEXT) WHERE inc = 1 AND seq = 5", 60),
        ("UPDATE rows SET doc = x'7b' WHERE id = 't5'", 59),
    ],
)
async def test_a_value_that_cannot_be_read_is_found_although_sqlite_finds_no_damage(
    tmp_path: Path, made: tuple[Path, Histories], damage: str, rows: int
) -> None:
    path = tmp_path / "hub.db"
    before = filled(path, made)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with opened(path) as store:
        assert "was damaged" in store.notices[0]
        assert kept_of(path)
        for stream in STREAMS:
            head, records = await history(store, stream)
            assert head.epoch != before[stream][0].epoch
            known = {record.seq: record.data for record in before[stream][1]}
            assert [r.seq for r in records] == list(known)
            folded = [r.seq for r in records if r.type == Folded.type]
            assert folded == ([5] if rows == 60 and stream == "s" else [])
            assert all(known[r.seq] == r.data for r in records if r.type != Folded.type)
        assert len(await store.find("turn")) == rows
