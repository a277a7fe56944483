"""The audit of several nodes: each has a chain of its own, and all are read and verified together."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhetor.domain.audit import COUNT, Count, key_for, stream_of
from rhetor.domain.event import Position
from rhetor.domain.principal import Principal
from rhetor.hub.core.audit_chain import KEY, AuditKey
from rhetor.hub.core.ids import wall_clock
from rhetor.maintenance import audit as stored_audit
from rhetor.maintenance.verify_audit import Stored, Verified, verified
from rhetor.store.base import Store
from rhetor.store.sqlite.store import SqliteStore
from tests.nodes.pairs import ONE, TWO, pair
from tests.rhetor.hub.auditing import auditing
from tests.served import Served

pytestmark = [pytest.mark.anyio]
WHO = Principal.person("me", local=True)


async def note(home: Served, times: int) -> None:
    for number in range(times):
        await home.hub.state.audit.note(WHO, "test.note", str(number))


async def verify(store: Store, node: str) -> Verified:
    stream = stream_of(node)
    head, key, count = await store.head(stream), await store.get(*KEY), await store.get(COUNT, stream)
    assert head is not None and key is not None and count is not None
    records = await store.page(stream, Position(head.epoch, 0), 1000)
    stored = [Stored(r.seq, r.at, r.type, r.turn_id, r.step, r.data) for r in records]
    secret = key_for(bytes.fromhex(msgspec.json.decode(key.doc, type=AuditKey).key), stream)
    return verified(lambda: stored, secret, msgspec.json.decode(count.doc, type=Count))


async def entries(home: Served, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await home.ask("GET", f"/api/v2/audit?limit=500{query}")).json["entries"]
    return found


@pytest.mark.postgres
async def test_nodes_that_write_entries_at_the_same_time_do_not_wait_for_each_other(
    postgres_url: str, tmp_path: Path
) -> None:
    async with pair(postgres_url, tmp_path) as homes:
        both = homes.one, homes.two
        await asyncio.gather(*(note(home, 10) for home in both for _ in range(5)))
        for node in (ONE, TWO):
            found = await verify(homes.one.hub.state.store, node)
            assert found.findings == ()
            assert found.entries >= 50
        ours = [[each for each in await entries(home) if each["action"] == "test.note"] for home in both]
        assert ours[0] == ours[1]
        assert len(ours[0]) == 100
        assert {each["node"] for each in ours[0]} == {ONE, TWO}
        assert [each["at"] for each in ours[0]] == sorted(each["at"] for each in ours[0])
        there = await entries(homes.one, f"&node={TWO}&after=0")
        assert {each["node"] for each in there} == {TWO}
        assert [each["number"] for each in there] == list(range(1, len(there) + 1))


async def test_a_file_with_the_chains_of_several_nodes_is_shown_and_verified(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=wall_clock)
    for node in ("", "one", "two"):
        async with auditing(store, node=node) as audit:
            for number in range(3):
                async with audit.action(WHO, "some", str(number)):
                    pass
    await store.aclose()
    found = stored_audit.verify(tmp_path)
    assert found.findings == ()
    assert found.entries == 18
    assert [(node, number) for node, number, _ in found.chains] == [("", 6), ("one", 6), ("two", 6)]
    lines = stored_audit.lines(tmp_path, stored_audit.Shown(), is_running=False)
    assert [(line.stored.node, line.outcome) for line in lines] == [
        (node, "done") for node in ("", "one", "two") for _ in range(3)
    ]
    end = found.chains[1][2]
    assert stored_audit.verify(tmp_path, (6, end)).findings == ()
    assert [each.kind for each in stored_audit.verify(tmp_path, (5, end)).findings] == ["audit_replaced"]
    with sqlite3.connect(tmp_path / "hub.db") as database:
        database.execute(
            "DELETE FROM events WHERE seq = 6 AND inc ="
            " (SELECT id FROM incarnations WHERE stream = 'audit:two')"
        )
    changed = stored_audit.verify(tmp_path)
    assert [(each.kind, each.place) for each in changed.findings] == [("audit_missing", "entry 6 of two")]
