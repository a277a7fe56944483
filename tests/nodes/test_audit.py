"""The audit of several nodes: one chain, to which all of them add."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from rhetor.domain.audit import STREAM, Count
from rhetor.domain.event import Position
from rhetor.domain.principal import Principal
from rhetor.hub.core.audit import COUNT, KEY, AuditKey
from rhetor.maintenance.verify_audit import Stored, verified
from tests.nodes.pairs import pair
from tests.served import Served

pytestmark = [pytest.mark.postgres, pytest.mark.anyio]
WHO = Principal.person("me", local=True)


async def note(home: Served, times: int) -> None:
    for number in range(times):
        await home.hub.state.audit.note(WHO, "test.note", str(number))


async def test_entries_that_two_nodes_write_at_the_same_time_are_in_one_chain(
    postgres_url: str, tmp_path: Path
) -> None:
    async with pair(postgres_url, tmp_path) as homes:
        both = homes.one, homes.two
        await asyncio.gather(*(note(home, 10) for home in both for _ in range(5)))
        store = homes.one.hub.state.store
        head = await store.head(STREAM)
        assert head is not None
        records = await store.page(STREAM, Position(head.epoch, 0), 1000)
        key, count = await store.get(*KEY), await store.get(*COUNT)
        assert key is not None and count is not None
        stored = [Stored(r.seq, r.at, r.type, r.turn_id, r.step, r.data) for r in records]
        secret = bytes.fromhex(msgspec.json.decode(key.doc, type=AuditKey).key)
        found = verified(lambda: stored, secret, msgspec.json.decode(count.doc, type=Count))
        assert found.findings == ()
        assert found.entries == len(records) >= 100
        listed = [(await home.ask("GET", "/api/v2/audit?limit=100")).json["entries"] for home in both]
        assert [each["number"] for each in listed[0][-50:]] == [each["number"] for each in listed[1][-50:]]
