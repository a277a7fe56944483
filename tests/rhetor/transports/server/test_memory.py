"""When free memory is given back."""

from __future__ import annotations

import asyncio

import pytest

from rhetor.transports.server import memory
from rhetor.transports.server.counters import Tally
from rhetor.transports.server.held_bytes import HeldBytes

pytestmark = pytest.mark.anyio


async def test_memory_is_given_back_again_when_the_last_large_body_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_at, tally, held = list[int](), Tally(), HeldBytes()
    monkeypatch.setattr(memory, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(memory, "_trim", lambda: held_at.append(held.total))
    looks = 0

    def forgotten(_: float) -> int:
        nonlocal looks
        looks += 1
        return 0

    async def looked(times: int) -> None:
        until = looks + times
        while looks < until:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0)

    keeping = asyncio.ensure_future(memory.keep_small(tally, held, forgotten))
    await looked(3)
    assert held_at == []  # without traffic, nothing is to be given back
    held.total = 7_500_000
    tally.traffic["rest"].received += 100 << 20
    await looked(5)
    assert set(held_at) == {held.total}
    held.total = 0
    await looked(8)
    assert held_at[-1] == 0
    assert held_at.count(0) <= 2  # the one before may have run while the body became free
    keeping.cancel()
