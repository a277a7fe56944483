"""The database file between closing and reopening the store."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from rhetor.domain.event import MessageAccepted, OutputDelta, Position
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.secrets import Secrets
from rhetor.errors import StateConflict, StoreDamaged, StoreRefused
from rhetor.hub.catalog.peer_stats import PeerStatistics
from rhetor.hub.catalog.routing_table import RoutingTable
from rhetor.store.base import Draft, Key, Row, SourceOffset
from rhetor.store.sqlite.schema import MIGRATIONS
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

clock = itertools.count(1).__next__


def asked(text: str) -> Draft:
    return Draft(MessageAccepted("m", "user", text), "t")


async def filled(path: Path) -> SqliteStore:
    store = await SqliteStore.open(path, clock=clock)
    texts = [f"message {n} " + "x" * 500 for n in range(200)]
    rows = [Row("turn", f"t{n}", "x", b"{}") for n in range(200)]
    await asyncio.gather(
        *(store.commit("s", [asked(text)], rows=[row]) for text, row in zip(texts, rows, strict=True))
    )
    return store


async def test_everything_is_kept_after_a_restart(tmp_path: Path) -> None:
    key, row = Key("me", "k", "print", b"1"), Row("session", "s1", "x", b"{}", name="n")
    async with contextlib.AsyncExitStack() as stack:
        store = await SqliteStore.open(tmp_path / "db", clock=clock)
        stack.push_async_callback(store.aclose)
        first = await store.commit("s", [asked("hello"), asked("world")], key=key, rows=[row])
        await store.commit("s", [], sources=[SourceOffset("spool", 9)])
        fork = await store.commit("fork", [], base=("s", Position(first.epoch, 1)))
        await store.truncate("s", 2)
        before = (
            await store.head("s"),
            await store.head("fork"),
            await store.spoken("fork", 9, answered=False),
            await store.get("session", "s1"),
        )
    async with contextlib.AsyncExitStack() as stack:
        store = await SqliteStore.open(tmp_path / "db", clock=clock)
        stack.push_async_callback(store.aclose)
        again = (
            await store.head("s"),
            await store.head("fork"),
            await store.spoken("fork", 9, answered=False),
            await store.get("session", "s1"),
        )
        assert again == before
        assert (await store.commit("s", [asked("x")], key=key)).replayed
        assert (await store.commit("s", [asked("more words")])).first == 3
        assert (await store.commit("fork", [asked("fork")])).epoch == fork.epoch
        assert before[3] == replace(row, version=2)
        assert await store.offset("spool") == 9
        await store.commit("s", [], rows=[row])
        assert await store.get("session", "s1") == replace(row, version=3)
        assert len(await store.search("world")) == len(await store.search("more")) == 1


def modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


async def test_only_the_owner_can_read_the_files_of_a_closed_store(tmp_path: Path) -> None:
    store = await filled(tmp_path / "db")
    assert set(modes(tmp_path).values()) == {0o600}
    await store.aclose()
    assert modes(tmp_path) == {"db": 0o600, "db.lock": 0o600, "db.witness": 0o600}


async def test_a_database_is_open_in_one_store_at_a_time(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "db", clock=clock)
    with pytest.raises(StoreRefused):
        await SqliteStore.open(tmp_path / "db", clock=clock)
    await store.aclose()
    await (await SqliteStore.open(tmp_path / "db", clock=clock)).aclose()


async def copy_of_a_running_store(folder: Path) -> Path:
    """Return a copy of the file as a crash would leave it, with all data in the file itself."""
    store = await filled(folder / "db")
    with contextlib.closing(sqlite3.connect(folder / "db")) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    shutil.copy(folder / "db", folder / "copy")
    await store.aclose()
    return folder / "copy"


def flip(path: Path, begin: int, count: int) -> None:
    with path.open("r+b") as file:
        file.seek(begin)
        old = file.read(count)
        file.seek(begin)
        file.write(bytes(byte ^ 0xFF for byte in old))


async def test_after_an_unclean_stop_a_sound_file_is_opened(tmp_path: Path) -> None:
    path = await copy_of_a_running_store(tmp_path)
    store = await SqliteStore.open(path, clock=clock)
    head = await store.head("s")
    assert head is not None
    assert head.head == 200
    await store.aclose()


async def test_after_an_unclean_stop_damage_is_reported(tmp_path: Path) -> None:
    path = await copy_of_a_running_store(tmp_path)
    pages = path.stat().st_size // 4096
    for page in range(pages // 2, pages // 2 + 3):
        flip(path, page * 4096, 64)
    before = path.read_bytes()
    with pytest.raises(StoreDamaged) as damaged:
        await SqliteStore.open(path, clock=clock)
    assert damaged.value.data["path"] == str(path)
    assert damaged.value.data["findings"]
    assert path.read_bytes() == before
    with pytest.raises(StoreDamaged):  # and again: the file is not locked
        await SqliteStore.open(path, clock=clock)


async def test_damage_is_found_at_the_next_opening_after_a_clean_close_too(tmp_path: Path) -> None:
    await (await filled(tmp_path / "db")).aclose()
    flip(tmp_path / "db", (tmp_path / "db").stat().st_size // 8192 * 4096, 64)
    with pytest.raises(StoreDamaged):
        await SqliteStore.open(tmp_path / "db", clock=clock)


async def test_damage_found_while_reading_is_checked_at_the_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "db"
    await (await filled(path)).aclose()
    store = await SqliteStore.open(path, clock=clock)
    pages = path.stat().st_size // 4096
    for page in range(1, pages):
        flip(path, page * 4096, 64)
    with pytest.raises(StoreRefused):
        for stream in ("s", "t"):
            await store.page(stream, Position("0" * 32, 0))
            await store.find("turn")
    await store.aclose()
    with pytest.raises(StoreDamaged):
        await SqliteStore.open(path, clock=clock)


async def test_a_file_that_is_not_a_database_counts_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"# a file of somebody else\n" * 1_000)
    with pytest.raises(StoreDamaged):
        await SqliteStore.open(tmp_path / "db", clock=clock)


async def test_an_older_database_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "rhetor.db"
    await (await filled(path)).aclose()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript("""
            DROP INDEX texts_asked;
            ALTER TABLE rows DROP COLUMN version;
            ALTER TABLE incarnations DROP COLUMN sealed_as;
            DROP TABLE seals;
            DELETE FROM meta WHERE key = 'version';
            PRAGMA user_version = 1;
        """)
    store = await SqliteStore.open(path, clock=itertools.count(5_000).__next__)
    await store.commit("s", [replace(asked("before all"), at=0)])
    assert [exchange.question for exchange in await store.recent(10_000)][-1] == "before all"
    await store.aclose()
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        plan = "SELECT id FROM texts WHERE role <> 'assistant' AND at < 9 ORDER BY at DESC, id DESC LIMIT 1"
        (step,) = other.execute(f"EXPLAIN QUERY PLAN {plan}").fetchall()
        assert "INDEX texts_asked" in step[-1]


def database_of_schema_2(path: Path, rows: Sequence[tuple[object, ...]]) -> None:
    """Create a cleanly closed database. `rows`: kind, id, state, doc, owner, parent, name, at."""
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        old.executescript("".join(MIGRATIONS[:2]) + "PRAGMA user_version = 2;")
        old.execute("INSERT INTO meta VALUES ('clean', 1)")
        old.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


async def test_rows_of_a_database_without_versions_get_version_1(tmp_path: Path) -> None:
    path = tmp_path / "rhetor.db"
    database_of_schema_2(path, [("session", "s1", "active", b"{}", "me", "apollo", "work", 5)])
    store = await SqliteStore.open(path, clock=clock)
    row = await store.get("session", "s1")
    assert row == Row("session", "s1", "active", b"{}", "me", "apollo", "work", 5, version=1)
    await store.commit("s", [], expects=[row.unchanged], rows=[replace(row, state="paused")])
    with pytest.raises(StateConflict):
        await store.commit("s", [], expects=[row.unchanged], rows=[row])
    assert await store.get("session", "s1") == replace(row, state="paused", version=2)
    await store.aclose()


async def test_sessions_of_an_older_database_get_their_started_and_answered_flags(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rhetor.db"
    once, plain = b'{"once":true}', b'{"once":false}'
    kinds = (("used", "active", plain), ("new", "active", plain), ("once", "expired", once))
    rows = [("session", id, state, doc, "me", "apollo", None, 5) for id, state, doc in kinds]
    database_of_schema_2(path, [*rows, ("session", "kept", "expired", plain, "me", "apollo", None, 5)])
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        old.execute("INSERT INTO incarnations (id, stream, epoch) VALUES (1, 'used', 'e')")
        old.execute("INSERT INTO texts VALUES (1, 1, 1, 't', 'user', 'hi', 5)")
    store = await SqliteStore.open(path, clock=clock)
    found = {row.id: (row.state, row.doc) for row in await store.find("session")}
    assert found == {
        "used": ("active", b'{"once":false,"started":true}'),
        "new": ("active", plain),
        "once": ("answered", once),
        "kept": ("expired", plain),
    }
    await store.aclose()


async def test_rows_stored_under_former_kinds_are_found(tmp_path: Path) -> None:
    path = tmp_path / "rhetor.db"
    context = b'{"owner":"me","peer":"apollo","staged":["a"],"next":["b"],"source":"me","at":7,"version":3}'
    position = "0" * 32 + ":5"
    database_of_schema_2(
        path,
        [
            ("figures", "apollo", "kept", b'{"turns":2.0,"answered":1.0,"at":9}', "", "", None, 9),
            ("staged", "me/apollo", "3", context, "me", "", None, 7),
            ("given", "s1", "given", f'"{position}"'.encode(), "me", "s1", None, 0),
        ],
    )
    store = await SqliteStore.open(path, clock=clock)
    statistics, routing_table = PeerStatistics(), RoutingTable()
    await statistics.load(store)
    await routing_table.load(store)
    assert statistics.of("apollo") == PeerStats(turns=2.0, answered=1.0, at=9)
    assert routing_table.promoted == {("me", "apollo")}
    assert await store.get("context", "me/apollo") == Row(
        "context", "me/apollo", "kept", context, owner="me", at=7, version=1
    )
    assert await store.get("read_mark", "s1") == Row(
        "read_mark", "s1", "kept", f'"{position}"'.encode(), owner="me", parent="s1", version=1
    )
    for kind in ("figures", "staged", "given"):
        assert await store.find(kind) == []
    await store.aclose()


async def test_a_newer_database_is_rejected_and_not_changed(tmp_path: Path) -> None:
    await (await filled(tmp_path / "db")).aclose()
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreRefused) as refused:
        await SqliteStore.open(tmp_path / "db", clock=clock)
    hint = "install the newer version of rhetor that wrote it"
    assert refused.value.data == {"schema": 99, "hint": hint, "retry_after": 1.0}


async def test_a_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused):
        await SqliteStore.open(tmp_path / "none" / "db", clock=clock)


async def test_secrets_that_become_known_after_the_start_are_masked(tmp_path: Path) -> None:
    secrets = Secrets()
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 0, secrets=secrets)
    secrets.add(["abcdefgh12345678"])
    await store.commit("s", [Draft(OutputDelta("it is abcdefgh12345678"))])
    head = await store.head("s")
    assert head is not None
    (record,) = await store.page("s", Position(head.epoch, 0))
    assert record.event.payload == OutputDelta("it is [masked]")
    await store.aclose()
