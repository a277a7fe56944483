"""A follower that stopped reading costs nothing: it has no queue that could grow."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from rhetor.domain.event import Position
from rhetor.store.base import Record, Store, follow
from tests.scale import scaled

from .store_kit import KINDS, chunk, opened

pytestmark = pytest.mark.anyio

FOLLOWERS = scaled(1_000, 300)
EVENTS = scaled(3_000, 1_500)


async def stopped(store: Store, count: int) -> list[AsyncIterator[Sequence[Record]]]:
    """Return followers that have read a first event and then stopped reading."""
    done = await store.commit("s", [chunk("first", "t")])
    followers = [follow(store, "s", Position(done.epoch, 0)) for _ in range(count)]
    for follower in followers:
        assert len(await anext(follower)) == 1
    return followers


async def growth(store: Store) -> int:
    """Return how many bytes the process grows by while the stream grows."""
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(EVENTS // 100):
        await asyncio.gather(*(store.commit("s", [chunk(f"{n} {m}", "t")]) for m in range(100)))
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_stopped_followers_add_no_memory_while_events_grow(kind: str, tmp_path: Path) -> None:
    grown = []
    tracemalloc.start()
    try:
        for count in (0, FOLLOWERS):
            folder = tmp_path / str(count)
            folder.mkdir()
            async with opened(kind, folder) as store:
                followers = await stopped(store, count)
                grown.append(await growth(store))
                for follower in followers:
                    await follower.aclose()  # type: ignore[attr-defined]
    finally:
        tracemalloc.stop()
    alone, followed = grown
    # a queue of references alone would take 8 bytes per follower and event, 3.6 MB (24 MB at full
    # size); only the noise of two runs is allowed
    assert followed - alone < 256 << 10
