"""The tokens that a caller may use within an hour."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.hub.house import ME, House, house

from rhetor.domain.command import SendMessage, StartPlan
from rhetor.domain.event import Cause
from rhetor.domain.output import Done, Text, Usage
from rhetor.domain.plan import Step
from rhetor.domain.principal import Principal
from rhetor.errors import TokensExceeded
from rhetor.hub.catalog.recent_tokens import KIND, MINUTE, RecentTokens
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.limits import Limits
from rhetor.hub.turns.caller_limits import require_tokens
from rhetor.store.base import Store
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio
REMOTE = Principal.person("me")
LIMITED = Limits(tokens_per_hour=100)
NOON = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


def uses(tokens: int) -> list[Any]:
    return [Text("x"), Usage("tiny", tokens - 1, 1), Done()]


async def sent(home: House, who: Principal = REMOTE) -> None:
    accepted = await home.hub.execute(who, SendMessage("hi", "apollo"))
    await home.end_of(accepted)


async def refused(home: House, who: Principal = REMOTE) -> float:
    """Return after how many seconds the hub accepts another message."""
    with pytest.raises(TokensExceeded) as found:
        await sent(home, who)
    with pytest.raises(TokensExceeded):
        await home.hub.execute(who, StartPlan((Step("a", "apollo", "hi"),)))
    assert found.value.data["limit"] == 100
    seconds: float = found.value.data["retry_after"]
    return seconds


async def test_tokens_count_for_an_hour_and_the_wait_is_until_enough_have_passed() -> None:
    clock = Clock()
    async with house(uses(60), uses(50), uses(70), limits=LIMITED, ids=Ids(clock)) as home:
        await sent(home)
        clock.now += 10 * MINUTE
        await sent(home)  # 60 used: one more may begin, and go beyond the limit
        wait = await refused(home)
        assert 50 * 60 <= wait <= 51 * 60
        clock.now += int(wait * 1000)
        await sent(home)  # 50 are left, and then 120
        assert 0 < await refused(home) <= 11 * 60
        assert [row.owner for row in await home.store.find("turn")] == ["me"] * 3


async def test_callers_do_not_share_the_limit_and_the_owners_unix_socket_has_none() -> None:
    agent = Principal.agent("claude", local=True)
    async with house(uses(200), uses(1), uses(200), uses(1), limits=LIMITED) as home:
        await sent(home)
        await refused(home)
        await sent(home, Principal.person("you"))
        await sent(home, agent)
        await refused(home, agent)
        await sent(home, ME)


async def test_without_a_limit_nothing_is_counted() -> None:
    async with house(uses(200)) as home:
        await sent(home)
        assert await home.store.find(KIND) == []
        assert home.hub.state.usage.recent.wait("me", 1, home.hub.state.ids.now()) == 0


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_tokens_are_known_after_a_restart(kind: str, tmp_path: Path) -> None:
    clock = Clock()
    store: Store = MemoryStore(clock=clock)
    if kind == "sqlite":
        store = await SqliteStore.open(tmp_path / "hub.db", clock=clock)
    async with house(uses(60), uses(45), limits=LIMITED, ids=Ids(clock), store=store) as home:
        await sent(home)
        await sent(home)
    clock.now += 5 * MINUTE
    async with house(uses(1), limits=LIMITED, ids=Ids(clock), store=store) as home:
        wait = await refused(home)
    assert 55 * 60 <= wait <= 56 * 60
    clock.now += int(wait * 1000)
    async with house(uses(1), limits=LIMITED, ids=Ids(clock), store=store) as home:
        assert await store.find(KIND) == []  # the old rows are removed
        await sent(home)
    await store.aclose()


async def test_turns_that_end_at_once_are_all_counted() -> None:
    async with house(*(uses(10) for _ in range(20)), limits=LIMITED) as home:
        accepted = [await home.hub.execute(ME, SendMessage("hi", "apollo")) for _ in range(20)]
        await asyncio.gather(*map(home.end_of, accepted))
        rows = await home.store.find(KIND)
        assert sum(int(row.doc.strip(b"[]")) for row in rows) == 200
        await refused(home)


async def test_a_caller_with_old_tokens_is_forgotten() -> None:
    recent, store = RecentTokens(), MemoryStore(clock=lambda: NOON)
    await recent.load(store, NOON)
    recent._add("me", NOON // MINUTE, 10)
    assert recent.wait("me", 10, NOON) > 0
    assert recent.wait("me", 10, NOON + 61 * MINUTE) == 0
    assert recent._minutes == {}


async def test_a_program_is_rejected_if_the_caller_that_it_works_for_has_used_too_many() -> None:
    agent = Principal.agent("claude", local=True)
    async with house(uses(200), limits=LIMITED) as home:
        require_tokens(home.hub.state, agent, Cause("m_1", caller="me"))
        await sent(home, ME)
        with pytest.raises(TokensExceeded, match="me has used 100 tokens"):
            require_tokens(home.hub.state, agent, Cause("m_1", caller="me"))
        require_tokens(home.hub.state, agent, Cause("m_1", caller="you"))
        require_tokens(home.hub.state, ME, None)
