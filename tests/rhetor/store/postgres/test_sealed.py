"""A database with encryption at rest: nothing plain is in its tables, and everything can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rhetor.errors import KeysUnavailable, NotFound, SealBroken, StoreRefused
from rhetor.sealing.ring import Ring
from rhetor.store.base import Key, Row
from rhetor.store.postgres.blobs import MOST_BYTES
from rhetor.store.postgres.store import PostgresStore
from rhetor.store.resealing import Place
from tests.contracts.store_kit import answer, chunk, events, question, stored, ticking
from tests.postgres.cluster import Cluster

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]

CANARY = "wombat"
TABLES = {
    "events": "encode(data, 'escape')",
    "texts": "concat(encode(content, 'escape'), words::text)",
    "rows": "encode(doc, 'escape')",
    "keys": "concat(fingerprint, encode(result, 'escape'))",
    "blobs": "encode(content, 'escape')",
}
PNG = b"\x01 begins like an envelope: " + CANARY.encode()


def database_of(url: str) -> str:
    return url.split("@/")[1].split("?")[0]


def plain(cluster: Cluster, url: str) -> list[str]:
    """Return the tables with the canary."""
    database = database_of(url)
    found = {
        table: cluster.sql(f"SELECT count(*) FROM {table} WHERE {text} LIKE '%{CANARY}%'", database)
        for table, text in TABLES.items()
    }
    return [table for table, count in found.items() if count != "0"]


async def opened(url: str, ring: Ring | None, *, at_rest: bool | None) -> PostgresStore:
    return await PostgresStore.open(url, clock=ticking(), ring=ring, at_rest=at_rest)


async def fill(store: PostgresStore, stream: str) -> str:
    row = Row("session", stream, "active", f'{{"title":"{CANARY}"}}'.encode())
    key = Key("me", stream, f"print {CANARY}", f'"{CANARY}"'.encode())
    drafts = [question(f"one {CANARY}", stream), chunk(CANARY, stream), answer(f"two {CANARY}", stream)]
    await store.commit(stream, drafts, rows=[row], key=key)
    return await store.blobs.keep(PNG + stream.encode())


async def check(store: PostgresStore, stream: str, blob: str) -> None:
    """Assert that everything that `fill` has written is read."""
    assert len(await events(store, stream)) == 3
    assert [said.content for said in await store.spoken(stream, 9)] == [f"one {CANARY}", f"two {CANARY}"]
    assert CANARY in (await stored(store, "session", stream)).doc.decode()
    assert await store.blobs.read(blob) == PNG + stream.encode()
    assert {hit.position.seq for hit in await store.search(CANARY) if hit.stream == stream} == {1, 3}
    key = Key("me", stream, f"print {CANARY}")
    again = await store.commit(stream, [], key=key)
    assert (again.replayed, again.result) == (True, f'"{CANARY}"'.encode())


async def test_encryption_seals_what_is_stored_and_can_be_turned_off(
    postgres: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    store = await opened(postgres_url, None, at_rest=False)
    blobs = {"old": await fill(store, "old")}
    await store.aclose()
    assert plain(postgres, postgres_url) == list(TABLES)
    ring = Ring(tmp_path)
    store = await opened(postgres_url, ring, at_rest=True)
    assert plain(postgres, postgres_url) == []
    blobs["sealed"] = await fill(store, "sealed")
    assert plain(postgres, postgres_url) == []
    for stream, blob in blobs.items():
        await check(store, stream, blob)
    await store.aclose()
    store = await opened(postgres_url, Ring(tmp_path), at_rest=False)
    blobs["plain"] = await fill(store, "plain")
    for stream, blob in blobs.items():
        await check(store, stream, blob)
    await store.aclose()
    with pytest.raises(KeysUnavailable):
        await opened(postgres_url, None, at_rest=None)


async def test_a_retired_key_is_not_needed_when_everything_is_sealed_again(
    postgres_url: str, tmp_path: Path
) -> None:
    ring = Ring(tmp_path)
    store = await opened(postgres_url, ring, at_rest=True)
    blobs = {stream: await fill(store, stream) for stream in ("a", "b")}
    old = ring.current
    ring.rotate()
    place: Place | None = None
    while True:
        step = await store.renew(place, frozenset({old}))
        assert step.broken == 0
        if (place := step.place) is None:
            break
    await store.forget_keys(frozenset({old}))
    assert await store.sealed_with() == {ring.current}
    for stream, blob in blobs.items():
        await check(store, stream, blob)
    await store.aclose()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET data = (SELECT data FROM events WHERE seq = 2) WHERE seq = 1",
        "UPDATE events SET data = 'plain' WHERE seq = 1",
    ],
)
async def test_what_somebody_has_put_into_the_tables_is_not_believed(
    postgres: Cluster, postgres_url: str, tmp_path: Path, change: str
) -> None:
    store = await opened(postgres_url, Ring(tmp_path), at_rest=True)
    await fill(store, "s")
    await store.aclose()
    postgres.sql(change, database_of(postgres_url))
    store = await opened(postgres_url, Ring(tmp_path), at_rest=True)
    with pytest.raises(SealBroken):
        await events(store, "s")
    await store.aclose()


async def test_blobs_are_kept_once_removed_if_unwanted_and_limited(postgres_url: str) -> None:
    now = [0]
    clock: Callable[[], int] = lambda: now[0]  # noqa: E731
    store = await PostgresStore.open(postgres_url, clock=clock)
    blobs = store.blobs
    large = bytes(MOST_BYTES)
    ids = [await blobs.keep(content) for content in (b"a", b"b", b"a", large)]
    assert ids[0] == ids[2]
    assert await blobs.read(ids[3]) == large
    with pytest.raises(StoreRefused):
        await blobs.keep(large + b"x")

    async def is_wanted(id: str) -> bool:
        return id == ids[1]

    assert await blobs.sweep(is_wanted) == 0  # another node may be about to commit what refers to them
    now[0] += 4_000_000
    assert await blobs.sweep(is_wanted) == 2
    assert await blobs.read(ids[1]) == b"b"
    await blobs.remove(ids[1])
    for id in (*ids, "nonsense"):
        with pytest.raises(NotFound):
            await blobs.read(id)
    await store.aclose()
