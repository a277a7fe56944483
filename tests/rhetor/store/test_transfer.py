"""Copying a whole store into an empty one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rhetor.errors import StoreRefused
from rhetor.sealing.ring import Ring
from rhetor.store.blobs import FileBlobs
from rhetor.store.postgres import transfer as postgres
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.sqlite.store import SqliteStore
from rhetor.store.sqlite.transfer import NewSqlite, new, whole
from rhetor.store.transfer import SECTIONS, Differs, Section, Summed, Values, batches, copy, size_of
from tests.contracts.store_kit import ticking

from .rich import check_continues, fill, seen

pytestmark = pytest.mark.anyio


async def opened(folder: Path, home: Path, *, at_rest: bool) -> SqliteStore:
    return await SqliteStore.open(folder / "hub.db", clock=ticking(), ring=Ring(home), at_rest=at_rest)


@pytest.mark.parametrize("at_rest", [False, True])
async def test_a_copy_has_everything_and_continues_with_the_same_numbers(
    tmp_path: Path, at_rest: bool
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    store = await opened(home, home, at_rest=at_rest)
    await fill(store)
    before = await seen(store)
    await store.aclose()
    kept = [
        await FileBlobs(home / "blobs", Ring(home), sealed=at_rest).keep(bytes([n]) * n) for n in range(3)
    ]
    counted: list[int] = []
    async with whole(home / "hub.db") as source, new(other / "hub.db") as target:
        total = await size_of(source)
        copied = await copy(source, target, counted.append)
    assert sum(counted) == 2 * total
    assert {
        name: each.rows for name, each in copied.items() if name in ("incarnations", "blobs", "sources")
    } == {
        "incarnations": 5,
        "blobs": 3,
        "sources": 1,
    }
    store = await opened(other, home, at_rest=at_rest)
    assert store.notices == []
    after = await seen(store)
    assert after == before
    await check_continues(store, before)
    await store.aclose()
    blobs = FileBlobs(other / "blobs", Ring(home), sealed=at_rest)
    assert [await blobs.read(id) for id in kept] == [bytes([n]) * n for n in range(3)]
    assert (other / "hub.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.postgres
@pytest.mark.parametrize("at_rest", [False, True])
async def test_a_log_moves_to_postgresql_and_back_unchanged(
    tmp_path: Path, postgres_url: str, at_rest: bool
) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    store = await opened(home, home, at_rest=at_rest)
    await fill(store)
    before = await seen(store)
    await store.aclose()
    await FileBlobs(home / "blobs", Ring(home), sealed=at_rest).keep(b"x" * 1_000_000)
    await postgres.prepare(postgres_url)
    assert not await postgres.has_log(postgres_url)
    async with whole(home / "hub.db") as source, postgres.new(postgres_url) as target:
        there = await copy(source, target, lambda _: None)
    assert await postgres.has_log(postgres_url)
    async with postgres.whole(postgres_url) as source, new(other / "hub.db") as target:
        assert await copy(source, target, lambda _: None) == there
    copies: Sequence[SqliteStore | PostgresStore] = (
        await opened(other, home, at_rest=at_rest),
        await PostgresStore.open(postgres_url, clock=ticking(), ring=Ring(home), at_rest=at_rest),
    )
    for each in copies:
        assert await seen(each) == before
        await check_continues(each, before)
        await each.aclose()


@pytest.mark.postgres
async def test_no_hub_opens_a_database_whose_log_was_moved(postgres_url: str) -> None:
    await postgres.prepare(postgres_url)
    store = await PostgresStore.open(postgres_url, clock=ticking())
    with pytest.raises(StoreRefused, match="a hub uses postgresql:///"):
        await postgres.prepare(postgres_url)
    await store.aclose()
    assert not await postgres.is_moved(postgres_url)
    await postgres.note_moved(postgres_url)
    assert await postgres.is_moved(postgres_url)
    with pytest.raises(StoreRefused, match="was moved away"):
        await PostgresStore.open(postgres_url, clock=ticking())


async def test_a_copy_that_differs_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "other").mkdir()
    store = await opened(tmp_path / "home", tmp_path, at_rest=False)
    await fill(store)
    await store.aclose()
    write = NewSqlite.write

    async def lossy(self: NewSqlite, section: Section, rows: Sequence[Values]) -> None:
        await write(self, section, rows[1:] if section.name == "events" else rows)

    monkeypatch.setattr(NewSqlite, "write", lossy)
    with pytest.raises(Differs, match="events: "):
        async with whole(tmp_path / "home/hub.db") as source, new(tmp_path / "other/hub.db") as target:
            await copy(source, target, lambda _: None)
    store = await opened(tmp_path / "other", tmp_path, at_rest=False)
    assert await store.head("talk") is None  # nothing was committed
    await store.aclose()


async def test_large_values_are_copied_in_small_batches() -> None:
    rows: list[Values] = [(n, b"x" * (3 << 20)) for n in range(7)]
    assert [len(batch) for batch in batches(iter(rows))] == [3, 3, 1]
    assert [len(batch) for batch in batches((n,) for n in range(4_500))] == [2_000, 2_000, 500]


class _Sections:
    """A store in memory."""

    def __init__(self) -> None:
        self.sections: dict[str, list[Values]] = {section.name: [] for section in SECTIONS}

    async def count(self, section: Section) -> int:
        return len(self.sections[section.name])

    async def read(self, section: Section) -> AsyncIterator[Sequence[Values]]:
        for batch in batches(self.sections[section.name]):
            yield batch

    async def write(self, section: Section, rows: Sequence[Values]) -> None:
        self.sections[section.name] += rows

    async def finish(self, version: int) -> None:
        self.highest = version

    async def version(self) -> int:
        return 7


async def test_text_and_bytes_and_places_of_values_have_different_digests() -> None:
    digests: set[str] = set()
    variants: Sequence[Sequence[Any]] = [
        [("a", "b")],
        [("a", b"b")],
        [("ab", None)],
        [("a",), ("b",)],
        [("a", 1)],
    ]
    for rows in variants:
        source = _Sections()
        source.sections["sources"] = [tuple(row) for row in rows]
        copied = await copy(source, _Sections(), lambda _: None)
        digests.add(copied["sources"].digest)
    assert len(digests) == len(variants)
    empty = Summed(0, hashlib.sha256().hexdigest())
    assert (await copy(_Sections(), _Sections(), lambda _: None))["events"] == empty
