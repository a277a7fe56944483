"""Writing the audit: before an action, after it, and of what was refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.rhetor.hub.auditing import CASEY, Count, auditing, entries, records, said
from tests.rhetor.hub.refusing import RefusingStore, refusals

from rhetor.domain.audit import MOST_TEXT, STREAM
from rhetor.domain.principal import Principal
from rhetor.domain.secrets import Secrets
from rhetor.errors import Forbidden, NotFound, StoreRefused, Unauthenticated
from rhetor.hub.core.audit import Audit
from rhetor.hub.core.audit_chain import COUNT, KEY
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.core.refusals import ALL, EACH, WINDOW_SECONDS, RefusalLimit
from rhetor.maintenance.verify_audit import Stored, Verified, verified
from rhetor.store.base import Row
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def verify(audit: Audit) -> Verified:
    (key, _), row = await audit._chain._key(), await audit.store.get(*COUNT)
    found = [Stored(r.seq, r.at, r.type, r.turn_id, r.step, r.data) for r in await records(audit)]
    return verified(lambda: found, key, msgspec.json.decode(row.doc, type=Count) if row else None)


async def test_an_action_has_an_entry_before_it_is_executed_and_one_after_it() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        async with audit.action(CASEY, "budget.set", "daily", "usd_per_day 5", api="rest") as acting:
            before = await entries(audit)
            acting.detail = "and more"
        begun, ended = await entries(audit)
    assert [replace(entry, chain="") for entry in before] == [replace(begun, chain="")]
    assert (begun.subject, begun.address, begun.credential, begun.api) == (
        *("casey", "unix pid 7", "socket"),
        "rest",
    )
    assert (begun.action, begun.target, begun.detail, begun.outcome) == (
        *("budget.set", "daily"),
        *("usd_per_day 5", "begun"),
    )
    assert (ended.outcome, ended.of, ended.detail, ended.action) == ("done", 1, "and more", "budget.set")


async def test_an_action_that_fails_has_the_code_of_its_error() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        for error in (NotFound("team", "x"), Forbidden("no"), ValueError("a bug")):
            with pytest.raises(type(error)):
                async with audit.action(CASEY, "team.remove", "x"):
                    raise error
        assert [entry.outcome for entry in await entries(audit)][1::2] == [
            "not_found",
            "forbidden",
            "internal",
        ]


async def test_an_action_whose_caller_goes_away_is_cancelled() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        began = asyncio.Event()

        async def act() -> None:
            async with audit.action(CASEY, "program.launch", "box"):
                began.set()
                await asyncio.sleep(3600)

        task = asyncio.create_task(act())
        await began.wait()
        task.cancel()
        await asyncio.wait([task])
    assert [entry.outcome for entry in await entries(audit)] == ["begun", "cancelled"]


async def test_an_action_is_not_executed_if_its_entry_cannot_be_written() -> None:
    store = RefusingStore()
    async with auditing(store) as audit:
        await audit.note(CASEY, "first")
        store.faults["commit"] = refusals(1)
        with pytest.raises(StoreRefused):
            async with audit.action(CASEY, "team.remove", "x"):
                raise AssertionError("it was executed")
        await audit.note(CASEY, "second")
        assert [entry.action for entry in await entries(audit)] == ["first", "second"]
        assert (await verify(audit)).findings == ()


async def test_an_action_whose_end_cannot_be_written_has_its_result_nevertheless() -> None:
    store = RefusingStore()
    async with auditing(store) as audit:
        async with audit.action(CASEY, "team.remove", "x"):
            store.faults["commit"] = refusals(1)
        assert [entry.outcome for entry in await entries(audit)] == ["begun"]


async def test_fifty_actions_at_once_are_one_chain(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=wall_clock)
    async with auditing(store) as audit:

        async def act(number: int) -> None:
            async with audit.action(CASEY, "budget.set", f"b{number}"):
                await asyncio.sleep(0)

        await asyncio.gather(*(act(number) for number in range(50)))
        found = await entries(audit)
        done = await verify(audit)
        commits = sum(store.commit_stats.counts)
    await store.aclose()
    assert (done.entries, done.findings) == (100, ())
    targets = {number: entry.target for number, entry in enumerate(found, start=1)}
    assert {entry.target for entry in found if entry.outcome == "begun"} == {f"b{n}" for n in range(50)}
    assert all(targets[entry.of] == entry.target for entry in found if isinstance(entry.of, int))
    assert commits < 50  # entries that wait are written together


async def test_two_writers_continue_one_chain() -> None:
    store = MemoryStore(clock=wall_clock)
    async with auditing(store) as one, auditing(store) as other:
        for number in range(5):
            await one.note(CASEY, "one", str(number))
            await asyncio.gather(other.note(CASEY, "other", str(number)), one.note(CASEY, "again"))
        done = await verify(one)
        actions = [entry.action for entry in await entries(one)]
    assert (done.entries, done.findings) == (15, ())
    assert actions.count("audit.gap") == 0


async def test_a_later_hub_continues_the_chain(tmp_path: Path) -> None:
    for _ in range(3):
        store = await SqliteStore.open(tmp_path / "hub.db", clock=wall_clock)
        async with auditing(store) as audit:
            await audit.begin(CASEY, "1.0")
            done = await verify(audit)
        await store.aclose()
    assert (done.entries, done.findings) == (3, ())


async def test_a_gap_that_the_hub_finds_is_in_the_audit_from_then_on() -> None:
    store = MemoryStore(clock=wall_clock)
    async with auditing(store) as audit:
        for number in range(3):
            await audit.note(CASEY, "some", str(number))
        key, _ = await audit._chain._key()
    forged = msgspec.json.encode(Count.of(key, 5, "f" * 64))
    await store.commit(STREAM, [], rows=[Row(*COUNT, "kept", forged)])
    async with auditing(store) as audit:
        await audit.note(CASEY, "next")
        assert [entry.detail for entry in await entries(audit) if entry.action == "audit.gap"] == [
            "the entries 4 to 5 are missing"
        ]
        (finding,) = (await verify(audit)).findings
    assert (finding.kind, finding.place) == ("audit_gap", "entry 4")


@pytest.mark.parametrize("doc", [b'{"number": "x"}', b"{}", b'{"number": 1, "chain": "f", "mac": "0"}'])
async def test_an_unreadable_count_is_replaced_and_the_audit_says_so(doc: bytes) -> None:
    store = MemoryStore(clock=wall_clock)
    async with auditing(store) as audit:
        await audit.note(CASEY, "first")
    await store.commit(STREAM, [], rows=[Row(*COUNT, "kept", doc)])
    async with auditing(store) as audit:
        await audit.note(CASEY, "second")
        found = await entries(audit)
        assert [entry.detail for entry in found] == ["", "the count of the entries was changed", ""]
        (finding,) = (await verify(audit)).findings
    assert (finding.kind, finding.place) == ("audit_gap", "entry 2")


async def test_an_unreadable_key_is_replaced_and_the_audit_says_so() -> None:
    store = MemoryStore(clock=wall_clock)
    async with auditing(store) as audit:
        await audit.note(CASEY, "first")
    await store.commit(STREAM, [], rows=[Row(*KEY, "kept", b'{"key": "zz"}')])
    async with auditing(store) as audit:
        await audit.note(CASEY, "second")
        assert [entry.action for entry in await entries(audit)] == ["first", "audit.gap", "second"]
        findings = (await verify(audit)).findings
    assert [(each.kind, each.place) for each in findings] == [("audit_key", "entry 1")]


async def test_a_name_with_line_ends_is_one_entry_and_a_long_one_is_cut() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        name = "x\r\n2026-01-01 casey forged\u2028y\ud800"
        await audit.note(CASEY, "team.create", name)
        await audit.note(CASEY, "team.create", "y" * 5000)
        first, second = await records(audit)
        assert (await verify(audit)).findings == ()
    assert b"\n" not in first.data
    assert b"\r" not in first.data
    target = msgspec.json.decode(second.data)["target"]
    assert (len(target), target[-1]) == (MOST_TEXT, "…")


async def test_known_secrets_are_masked_and_the_chain_still_fits() -> None:
    secrets = Secrets(["hunter2hunter2"])
    async with auditing(MemoryStore(clock=wall_clock, secrets=secrets), secrets) as audit:
        await audit.note(CASEY, "program.announce", "box", "curl -H hunter2hunter2")
        (record,) = await records(audit)
        assert (await verify(audit)).findings == ()
    assert b"hunter2" not in record.data


async def test_noise_of_one_address_or_of_many_has_few_entries_and_is_counted() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        for number in range(1000):  # each from another port
            who = Principal("", address=f"10.0.0.9:{number + 1024}")
            audit.refused(who, "login", Unauthenticated("invalid token"))
        for number in range(1000):
            who = Principal("", address=f"10.0.{number % 250}.{number // 250}:1")
            audit.refused(who, "login", Unauthenticated("invalid token"))
        for _ in range(100):  # other callers have entries nevertheless
            audit.refused(Principal("agent:claude", address="unix pid 9"), "request", Forbidden("no"))
        await audit.sum_up(is_last=True)
    found = await entries(audit)
    attempts = [entry for entry in found if entry.action == "login"]
    assert len([entry for entry in attempts if entry.address.startswith("10.0.0.9:")]) == EACH
    assert len(attempts) == ALL
    assert len([entry for entry in found if entry.subject == "agent:claude"]) == EACH
    assert [entry.detail for entry in found if entry.action == "refusals"] == [
        f"{2000 - ALL} more of unknown callers, without entries of their own",
        f"{100 - EACH} more of known callers, without entries of their own",
    ]


def test_refusals_are_admitted_again_after_an_hour() -> None:
    limit = RefusalLimit()
    admitted = [limit.admits("10.0.0.9", now) for now in (*range(EACH), 100.0, WINDOW_SECONDS)]
    assert admitted == [*[True] * EACH, False, True]
    assert (limit.left_out(WINDOW_SECONDS + 1), limit.left_out(2 * WINDOW_SECONDS), limit.left_out(None)) == (
        *(0, 1),
        0,
    )


async def test_pages_are_in_order_from_either_end() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        assert list(await audit.page(limit=5)) == []
        for number in range(1, 8):
            await audit.note(CASEY, "some", str(number))

        async def numbers(**given: Any) -> list[int]:
            return [record.seq for record in await audit.page(**given)]

        assert await numbers(limit=3) == [5, 6, 7]
        assert await numbers(limit=3, before=5) == [2, 3, 4]
        assert await numbers(limit=3, before=2) == [1]
        assert await numbers(limit=3, before=1) == []
        assert await numbers(limit=3, after=0) == [1, 2, 3]
        assert await numbers(limit=3, after=6) == [7]
        assert await numbers(limit=3, after=7) == []
        assert await numbers(limit=100, after=2, before=4) == [3]


async def test_the_audit_says_who_did_what() -> None:
    async with auditing(MemoryStore(clock=wall_clock)) as audit:
        await audit.note(CASEY, "some", "thing")
        assert await said(audit) == [("casey", "some", "thing", "done")]
