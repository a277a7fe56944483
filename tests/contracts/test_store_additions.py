"""Numbers that commits add to a row, each commit once; and events of some types of all streams."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from rhetor.domain.event import MessageAccepted, OutputDelta, Position, TurnCompleted
from rhetor.errors import KeyReused, Malformed, RhetorError, StateConflict
from rhetor.store.base import Addition, Draft, Expect, Key, Record, Row, Store
from rhetor.store.sqlite.store import SqliteStore

from .store_kit import answer, chunk, question, stored, ticking

pytestmark = pytest.mark.anyio

ONE = Addition("usage", "a", (1, 10, Decimal("0.1")), "me", "2026-11", 5)
KEY = Key("me", "k", "print")


async def numbers(store: Store, id: str = "a") -> list[object]:
    found: list[object] = json.decode((await stored(store, "usage", id)).doc)
    return found


async def test_fifty_concurrent_commits_add_to_one_row_without_conflicts(store: Store) -> None:
    await asyncio.gather(*(store.commit(f"s{n}", [chunk("x", "t")], adds=[ONE]) for n in range(50)))
    assert await numbers(store) == [50, 500, "5.0"]
    row = await stored(store, "usage", "a")
    assert (row.state, row.owner, row.parent, row.at) == ("kept", "me", "2026-11", 5)
    assert await store.find("usage", parent="2026-11", owner="me") == [row]


async def test_adding_to_a_row_changes_only_its_numbers_and_its_version(store: Store) -> None:
    await store.commit("s", [], rows=[Row("usage", "a", "new", b'[1,1,"1"]', "you", "x", name="n", at=7)])
    await store.commit("s", [], adds=[ONE])
    row = await stored(store, "usage", "a")
    assert (row.state, row.owner, row.parent, row.name, row.at) == ("new", "you", "x", "n", 7)
    assert await store.find("usage", state="new", parent="x", name="n") == [row]
    await store.commit("s", [], adds=[ONE], drop=[("usage", "a")])
    assert (await stored(store, "usage", "a")).owner == "me"


async def test_concurrent_commits_write_drop_and_add_in_their_order(store: Store) -> None:
    add: dict[str, Any] = {"adds": [ONE]}
    write: dict[str, Any] = {"rows": [Row("usage", "a", "new", b'[5,5,"5"]')]}
    drop: dict[str, Any] = {"drop": [("usage", "a")]}
    commits = [add, write, add, drop, add, add, write, add | write, add, drop]
    number: int | None = None
    for count in range(1, len(commits) + 1):
        await asyncio.gather(*(store.commit("s", [], **how) for how in commits[:count]))
        for how in commits[:count]:
            number = None if "drop" in how else 5 if "rows" in how else number
            number = (number or 0) + 1 if "adds" in how else number
        row = await store.get("usage", "a")
        assert (json.decode(row.doc)[0] if row else None) == number, count


async def test_decimals_are_added_exactly(store: Store) -> None:
    for number in ("0.1", "0.2", "1234567890123456789.000000000000000000000001", "-0.3"):
        await store.commit("s", [], adds=[Addition("usage", "a", (Decimal(number),))])
    assert await numbers(store) == ["1234567890123456789.000000000000000000000001"]


async def test_a_commit_can_add_to_a_row_twice_and_to_one_that_it_writes(store: Store) -> None:
    await store.commit("s", [], adds=[ONE, ONE])
    assert await numbers(store) == [2, 20, "0.2"]
    await store.commit("s", [], rows=[Row("usage", "a", "kept", b'[5,5,"5"]')], adds=[ONE])
    assert await numbers(store) == [6, 15, "5.1"]
    await store.commit("s", [], drop=[("usage", "a")], adds=[ONE])
    assert await numbers(store) == [1, 10, "0.1"]


@pytest.mark.parametrize(
    ("refused", "how"),
    [
        (KeyReused, {"key": replace(KEY, fingerprint="other")}),
        (StateConflict, {"expects": [Expect("usage", "none")]}),
        (Malformed, {"adds": [ONE, replace(ONE, id="\ud800")]}),
        (Malformed, {"adds": [ONE, replace(ONE, numbers=(1 << 63, 0, Decimal(0)))]}),
    ],
)
async def test_a_rejected_commit_adds_nothing(
    store: Store, refused: type[RhetorError], how: dict[str, object]
) -> None:
    await store.commit("s", [], adds=[ONE], key=KEY)
    with pytest.raises(refused):
        await store.commit("s", [], **{"adds": [ONE], **how})  # type: ignore[arg-type]
    assert await numbers(store) == [1, 10, "0.1"]


async def test_a_repeated_key_adds_once(store: Store) -> None:
    for _ in range(3):
        await store.commit("s", [chunk("x", "t")], adds=[ONE], key=KEY)
    assert await numbers(store) == [1, 10, "0.1"]


async def test_an_addition_of_a_cancelled_caller_is_made(store: Store) -> None:
    task = asyncio.ensure_future(store.commit("s", [], adds=[ONE]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.commit("s", [], adds=[ONE])
    assert await numbers(store) == [2, 20, "0.2"]


async def test_an_addition_gives_a_row_a_version_that_no_row_had(store: Store) -> None:
    versions = set()
    for _ in range(3):
        await store.commit("s", [], adds=[ONE])
        versions.add((await stored(store, "usage", "a")).version)
    assert len(versions) == 3


async def test_additions_survive_a_restart(tmp_path: Path) -> None:
    for expected in (1, 2):
        store = await SqliteStore.open(tmp_path / "rhetor.db", clock=ticking())
        await store.commit("s", [], adds=[ONE])
        assert (await numbers(store))[0] == expected
        await store.aclose()


TYPES = (MessageAccepted.type, TurnCompleted.type)


async def all_of(store: Store, limit: int) -> list[tuple[str, str | None, str]]:
    found: list[Record] = []
    after: Position | None = None
    while page := await store.of_types(TYPES, after, limit):
        assert len(page) <= limit
        found += page
        after = page[-1].position
    return [(record.stream, record.turn_id, record.type) for record in found]


async def test_events_of_some_types_are_read_from_all_streams_and_epochs(store: Store) -> None:
    await store.commit("s1", [question("a", "t1"), chunk("b", "t1"), answer("b", "t1")])
    first = await store.head("s1")
    assert first is not None
    await store.commit("s2", [question("a", "t2"), chunk("b", "t2")])
    await store.commit("s1", [question("c", "t3"), answer("d", "t3")])
    await store.commit("s1", [question("e", "t4")], base=("s1", first.position))
    await store.commit("s2", [Draft(OutputDelta("b"), "t2"), answer("bb", "t2")])
    whole = [
        *[("s1", turn, type) for turn in ("t1", "t3") for type in TYPES],
        *[("s2", "t2", type) for type in TYPES],
        ("s1", "t4", MessageAccepted.type),
    ]
    for limit in (1, 2, 100):
        assert await all_of(store, limit) == whole
    assert await store.of_types(("plan.started",)) == []


async def test_truncated_events_are_not_read(store: Store) -> None:
    await store.commit("s", [question("a", "t1"), answer("b", "t1"), question("c", "t2")])
    await store.truncate("s", 3)
    assert await all_of(store, 10) == [("s", "t2", MessageAccepted.type)]
