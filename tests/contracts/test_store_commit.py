"""Commits: all or nothing, once per key, and the first writer wins."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from rhetor.domain.event import AgentRecord, OutputDelta, Position
from rhetor.errors import KeyReused, Malformed, NameTaken, NotFound, RhetorError, StateConflict, StoreRefused
from rhetor.store.base import Committed, Draft, Expect, Head, Key, Row, SourceOffset, Store

from .store_kit import chunk, contents, events, question, shown, stored

pytestmark = pytest.mark.anyio

ROW = Row("session", "s1", "active", b'{"a":1}', owner="me", parent="apollo", name="work", at=5)
KEY = Key("me", "k1", "print", b'{"turn":"t"}')


async def everything(store: Store) -> tuple[object, ...]:
    """Return all that a commit to `s` can change."""
    head = await store.head("s")
    found = await events(store, "s") if head else []
    return head, found, await store.find("session"), await store.offset("spool")


async def test_numbers_of_a_stream_are_gapless_from_one(store: Store) -> None:
    first = await store.commit("s", [chunk("a", "t"), chunk("b", "t")])
    second = await store.commit("s", [chunk("c", "t")])
    other = await store.commit("other", [chunk("d", "t")])
    assert first == Committed(first.epoch, 1, 2)
    assert second == Committed(first.epoch, 3, 3)
    assert (other.first, other.epoch != first.epoch) == (1, True)
    assert await shown(store, "s") == [(1, OutputDelta("a")), (2, OutputDelta("b")), (3, OutputDelta("c"))]
    assert await store.head("s") == Head(first.epoch, 3, 1)


@pytest.mark.parametrize("count", [63, 64, 65, 1_000])
async def test_a_large_commit_is_stored_completely(store: Store, count: int) -> None:
    rows = [Row("turn", f"t{n:04}", "x", b"{}", name=f"n{n}") for n in range(count)]
    await store.commit("s", [question(f"word{n}", f"t{n}") for n in range(count)], rows=rows)
    assert [event.payload for event in await events(store, "s")] == [
        question(f"word{n}", f"t{n}").payload for n in range(count)
    ]
    assert contents(await store.find("turn", limit=2_000)) == rows
    assert len(await store.spoken("s", 2_000, answered=False)) == count
    assert len(await store.search(f"word{count - 1}")) == 1


async def test_an_event_is_read_as_it_was_committed(store: Store) -> None:
    draft = Draft(
        AgentRecord({"deep": [1, {"x": None}], "big": 1 << 80, "text": "naïve \x00 🦉"}), "t", "step"
    )
    committed = await store.commit("s", [draft])
    [event] = await events(store, "s")
    assert (event.stream, event.position) == ("s", Position(committed.epoch, 1))
    assert (event.payload, event.turn_id, event.step) == (draft.payload, "t", "step")
    assert event.at >= 1_000


async def test_a_stream_begins_with_its_first_commit_even_without_events(store: Store) -> None:
    assert await store.head("s") is None
    committed = await store.commit("s", [])
    assert committed == Committed(committed.epoch, 1, 0)
    assert await store.head("s") == Head(committed.epoch, 0, 1)
    assert await store.page("s", Position(committed.epoch, 0)) == []


async def test_events_rows_key_and_offset_are_committed_together(store: Store) -> None:
    committed = await store.commit(
        "s", [chunk("a", "t")], key=KEY, rows=[ROW], sources=[SourceOffset("spool", 77)]
    )
    row = await stored(store, "session", "s1")
    assert committed == Committed(committed.epoch, 1, 1, result=KEY.result, version=row.version)
    assert contents([row]) == [ROW]
    assert await store.offset("spool") == 77
    assert len(await events(store, "s")) == 1


@pytest.mark.parametrize(
    ("refused", "how"),
    [
        (KeyReused, {"key": replace(KEY, fingerprint="other")}),
        (StateConflict, {"expects": [Expect("session", "s1", frozenset({"paused"}))]}),
        (StateConflict, {"expects": [Expect.absent("session", "s1")]}),
        (StateConflict, {"expects": [Expect("session", "none", frozenset({"active"}))]}),
        (StateConflict, {"expects": [Expect("session", "none")]}),
        (StateConflict, {"expects": [replace(ROW, version=1 << 62).unchanged]}),
        (StateConflict, {"expects": [replace(ROW, id="none", version=1).unchanged]}),
        (NameTaken, {"rows": [replace(ROW, state="gone"), replace(ROW, id="s2")]}),
        (NotFound, {"base": ("s", Position("0" * 32, 1))}),
        (Malformed, {"rows": [replace(ROW, id="\ud800")]}),
        (Malformed, {"sources": [SourceOffset("spool", 1 << 63)]}),
    ],
)
async def test_a_rejected_commit_changes_nothing(
    store: Store, refused: type[RhetorError], how: dict[str, object]
) -> None:
    await store.commit("s", [chunk("a", "t")], key=KEY, rows=[ROW], sources=[SourceOffset("spool", 1)])
    before = await everything(store)
    arguments = {"rows": [replace(ROW, state="x")], "sources": [SourceOffset("spool", 2)], **how}
    with pytest.raises(refused):
        await store.commit("s", [chunk("b", "t")], **arguments)  # type: ignore[arg-type]
    assert await everything(store) == before
    fresh = replace(KEY, key="fresh")
    with pytest.raises(refused):
        await store.commit("s", [], **{"key": fresh, **arguments})  # type: ignore[arg-type]
    assert not (await store.commit("s", [], key=fresh)).replayed


async def test_a_rejected_commit_does_not_affect_concurrent_ones(store: Store) -> None:
    never = Expect("session", "none", frozenset({"x"}))
    done = await asyncio.gather(
        *(store.commit("s", [chunk(str(n), "t")], expects=[never] if n % 3 == 0 else []) for n in range(60)),
        return_exceptions=True,
    )
    kept = [n for n in range(60) if n % 3]
    assert [isinstance(outcome, StateConflict) for outcome in done] == [n % 3 == 0 for n in range(60)]
    assert await shown(store, "s") == [(seq, OutputDelta(str(n))) for seq, n in enumerate(kept, start=1)]


async def test_a_repeated_key_returns_the_first_result_even_if_conditions_no_longer_hold(
    store: Store,
) -> None:
    await store.commit("s", [], rows=[ROW])
    expect = Expect("session", "s1", frozenset({"active"}))
    first = await store.commit(
        "s", [chunk("a", "t")], key=KEY, expects=[expect], rows=[replace(ROW, state="stopped")]
    )
    again = await store.commit("s", [chunk("a", "t")], key=replace(KEY, result=b"2"), expects=[expect])
    assert again == replace(first, replayed=True, version=0)
    assert len(await events(store, "s")) == 1


async def test_a_key_belongs_to_its_scope(store: Store) -> None:
    await store.commit("s", [chunk("a", "t")], key=KEY)
    other = await store.commit("s", [chunk("b", "t")], key=replace(KEY, scope="you", fingerprint="other"))
    assert not other.replayed


async def test_only_one_of_fifty_commits_with_the_same_key_is_made(store: Store) -> None:
    done = await asyncio.gather(*(store.commit("s", [chunk("a", "t")], key=KEY) for _ in range(50)))
    assert sorted(committed.replayed for committed in done) == [False] + [True] * 49
    assert {(committed.first, committed.last, committed.result) for committed in done} == {(1, 1, KEY.result)}
    assert len(await events(store, "s")) == 1


async def test_the_first_of_fifty_concurrent_writers_wins(store: Store) -> None:
    await store.commit("s", [], rows=[replace(ROW, state="open")])
    expect = Expect("session", "s1", frozenset({"open", "waiting"}))

    async def take(writer: int) -> bool:
        try:
            await store.commit(
                "s", [chunk(str(writer), "t")], expects=[expect], rows=[replace(ROW, state=f"taken {writer}")]
            )
        except StateConflict as conflict:
            assert conflict.data["state"] == "taken 0"
            return False
        return True

    assert await asyncio.gather(*map(take, range(50))) == [True] + [False] * 49
    assert await shown(store, "s") == [(1, OutputDelta("0"))]


async def test_a_commit_is_rejected_if_any_of_its_conditions_is_false(store: Store) -> None:
    other = replace(ROW, id="s2", name=None)
    await store.commit("s", [], rows=[ROW, other])
    holds = [Expect("session", id, frozenset({"active"})) for id in ("s1", "s2")]
    await store.commit("s", [chunk("a", "t")], expects=holds, rows=[replace(other, state="gone")])
    with pytest.raises(StateConflict) as refused:
        await store.commit("s", [chunk("b", "t")], expects=holds, rows=[replace(ROW, state="x")])
    assert refused.value.data == {"kind": "session", "id": "s2", "state": "gone"}
    assert contents([await stored(store, "session", "s1")]) == [ROW]
    assert await shown(store, "s") == [(1, OutputDelta("a"))]


async def test_a_row_that_was_read_is_written_back_only_if_it_is_unchanged(store: Store) -> None:
    await store.commit("s", [], expects=[ROW.unchanged], rows=[ROW])
    mine, others = await stored(store, "session", "s1"), await stored(store, "session", "s1")
    await store.commit("s", [], expects=[others.unchanged], rows=[replace(others, doc=b"saved")])
    with pytest.raises(StateConflict) as refused:
        await store.commit("s", [], expects=[mine.unchanged], rows=[replace(mine, doc=b"used")])
    assert refused.value.data == {"kind": "session", "id": "s1", "state": "active"}
    assert refused.value.detail == "session s1 was changed at the same time"
    again = await stored(store, "session", "s1")
    assert again.doc == b"saved"
    await store.commit("s", [], expects=[again.unchanged], rows=[replace(again, doc=b"both")])
    assert (await stored(store, "session", "s1")).doc == b"both"


async def test_each_write_of_a_row_gives_it_a_version_that_no_row_had(store: Store) -> None:
    seen: list[int] = []
    for _ in range(2):
        for doc in (b"1", b"1", b"2"):
            await store.commit("s", [], rows=[replace(ROW, doc=doc, version=7)])
            seen.append((await stored(store, "session", "s1")).version)
        await store.commit("s", [], drop=[("session", "s1")])
    assert seen == sorted(set(seen))
    assert seen[0] > 0


async def test_a_row_that_is_not_written_keeps_its_version(store: Store) -> None:
    await store.commit("s", [], rows=[ROW])
    before = await stored(store, "session", "s1")
    await store.commit("s", [chunk("a", "t")], rows=[replace(ROW, id="s2", name=None)])
    with pytest.raises(NameTaken):
        await store.commit("s", [], rows=[replace(ROW, doc=b"lost"), replace(ROW, id="s3")])
    assert await stored(store, "session", "s1") == before
    await store.commit("s", [], expects=[before.unchanged])


async def test_a_row_that_was_dropped_and_put_again_is_another_version(store: Store) -> None:
    await store.commit("s", [], rows=[ROW])
    before = await stored(store, "session", "s1")
    await store.commit("s", [], rows=[ROW], drop=[("session", "s1")])
    with pytest.raises(StateConflict):
        await store.commit("s", [], expects=[before.unchanged])


async def test_the_first_of_fifty_commits_that_expect_one_version_wins(store: Store) -> None:
    await store.commit("s", [], rows=[ROW])
    read = await stored(store, "session", "s1")
    done = await asyncio.gather(
        *(
            store.commit("s", [chunk(str(n), "t")], expects=[read.unchanged], rows=[replace(read, at=n)])
            for n in range(50)
        ),
        return_exceptions=True,
    )
    assert [isinstance(outcome, StateConflict) for outcome in done] == [False] + [True] * 49
    assert await shown(store, "s") == [(1, OutputDelta("0"))]
    assert (await stored(store, "session", "s1")).at == 0


async def test_a_condition_can_name_a_version_and_states(store: Store) -> None:
    await store.commit("s", [], rows=[ROW])
    read = await stored(store, "session", "s1")
    await store.commit("s", [], expects=[Expect("session", "s1", frozenset({"active"}), read.version)])
    with pytest.raises(StateConflict) as refused:
        await store.commit("s", [], expects=[Expect("session", "s1", frozenset({"paused"}), read.version)])
    assert refused.value.detail == "session s1 is active"
    await store.commit("s", [], expects=[Expect("session", "s1")])


async def test_a_commit_can_expect_that_a_row_is_absent(store: Store) -> None:
    absent = Expect.absent("session", "s1")
    assert ROW.unchanged == absent
    await store.commit("s", [], expects=[absent], rows=[ROW])
    with pytest.raises(StateConflict):
        await store.commit("s", [], expects=[absent], rows=[ROW])
    await store.commit("s", [], drop=[("session", "s1")])
    await store.commit("s", [], expects=[absent], rows=[ROW])


async def test_a_name_is_unique_within_kind_and_owner(store: Store) -> None:
    await store.commit("s", [], rows=[ROW])
    for free in (replace(ROW, owner="you", id="s2"), replace(ROW, kind="plan", id="s3"), ROW):
        await store.commit("s", [], rows=[free])
    with pytest.raises(NameTaken):
        await store.commit("s", [], rows=[replace(ROW, id="s4")])
    two = [replace(ROW, id=id, name="same") for id in ("s5", "s6")]
    with pytest.raises(NameTaken):
        await store.commit("s", [], rows=two)
    unnamed = [replace(row, name=None) for row in two]
    await store.commit("s", [], rows=unnamed)


async def test_a_name_can_move_to_another_row_within_a_commit(store: Store) -> None:
    one, two = ROW, replace(ROW, id="s2", name="play")
    await store.commit("s", [], rows=[one, two])
    swapped = [replace(one, name="play"), replace(two, name="work")]
    await store.commit("s", [], rows=swapped)
    assert contents(await store.find("session")) == swapped
    heir = replace(ROW, id="s3", name="work")
    await store.commit("s", [], rows=[heir], drop=[("session", "s2")])
    assert contents(await store.find("session")) == [swapped[0], heir]
    assert contents(await store.find("session", name="work")) == [heir]


async def test_a_name_can_move_between_concurrent_commits(store: Store) -> None:
    await store.commit("s", [], rows=[ROW])
    heir = replace(ROW, id="s2")
    await asyncio.gather(
        store.commit("s", [], rows=[replace(ROW, name="other")]),
        store.commit("s", [], rows=[heir]),
        store.commit("s", [], drop=[("session", "s1")]),
        store.commit("s", [], rows=[replace(ROW, id="s3", name="other")]),
    )
    assert contents(await store.find("session")) == [heir, replace(ROW, id="s3", name="other")]
    with pytest.raises(NameTaken):
        await store.commit("s", [], rows=[ROW])


async def test_rows_are_found_by_each_of_their_fields(store: Store) -> None:
    rows = [
        Row(
            "turn",
            f"t{n}",
            "open" if n % 2 else "done",
            b"",
            f"o{n % 3}",
            f"p{n % 4}",
            f"n{n}",
            at=10 - n // 2,
        )
        for n in range(10)
    ]
    await store.commit("s", [], rows=rows)
    ordered = sorted(rows, key=lambda row: (row.at, row.id))
    assert contents(await store.find("turn")) == ordered
    assert contents(await store.find("turn", limit=3)) == ordered[:3]
    assert contents(await store.find("turn", state="open")) == [r for r in ordered if r.state == "open"]
    assert contents(await store.find("turn", owner="o1", parent="p1")) == [rows[1]]
    assert contents(await store.find("turn", name="n7")) == [rows[7]]
    assert await store.find("plan") == []
    assert await store.get("turn", "none") is None


async def test_documents_are_found_by_owner_and_parent(store: Store) -> None:
    rows = [Row("turn", f"t{n}", "open", b"%d" % n, f"o{n % 3}", f"p{n % 4}") for n in range(10)]
    await store.commit("s", [], rows=rows)
    whole = [(row.id, row.doc) for row in rows]
    assert sorted(await store.documents("turn")) == whole
    assert sorted(await store.documents("turn", owner="o1")) == whole[1::3]
    assert sorted(await store.documents("turn", parent="p1")) == whole[1::4]
    assert await store.documents("turn", owner="o1", parent="p1") == [whole[1]]
    assert await store.documents("plan") == []


async def test_rows_are_dropped_before_others_are_put(store: Store) -> None:
    await store.commit("s", [], rows=[ROW], drop=[("session", "s1"), ("session", "none")])
    assert contents([await stored(store, "session", "s1")]) == [ROW]


async def test_a_fork_refers_to_its_parent_and_does_not_change_it(store: Store) -> None:
    parent = await store.commit("s", [chunk("a", "t"), chunk("b", "t")])
    base = ("s", Position(parent.epoch, 1))
    fork = await store.commit("fork", [chunk("c", "t")], base=base)
    assert await store.head("fork") == Head(fork.epoch, 1, 1, base)
    assert await shown(store, "fork") == [(1, OutputDelta("c"))]
    assert await shown(store, "s") == [(1, OutputDelta("a")), (2, OutputDelta("b"))]


async def test_a_restore_begins_a_new_epoch_and_can_be_undone(store: Store) -> None:
    old = await store.commit("s", [chunk("a", "t"), chunk("b", "t")])
    base = ("s", Position(old.epoch, 1))
    new = await store.commit("s", [], base=base)
    assert await store.head("s") == Head(new.epoch, 0, 1, base)
    assert (await store.commit("s", [chunk("c", "t")])).epoch == new.epoch
    newest = await store.commit("s", [], base=("s", Position(old.epoch, 2)))
    assert len({old.epoch, new.epoch, newest.epoch}) == 3
    assert await shown(store, "s") == []


async def test_a_base_must_exist(store: Store) -> None:
    done = await store.commit("s", [chunk("a", "t")])
    other = await store.commit("other", [])
    for base in [
        ("s", Position(done.epoch, 2)),
        ("s", Position(other.epoch, 0)),
        ("none", Position(done.epoch, 1)),
    ]:
        with pytest.raises(NotFound):
            await store.commit("fork", [], base=base)
    assert await store.head("fork") is None


async def test_a_base_can_be_committed_concurrently(store: Store) -> None:
    done = await store.commit("s", [])
    appended, forked = await asyncio.gather(
        store.commit("s", [chunk("a", "t")]),
        store.commit("fork", [], base=("s", Position(done.epoch, 1))),
    )
    assert (await store.head("fork")) == Head(forked.epoch, 0, 1, ("s", Position(appended.epoch, 1)))


async def test_cancelling_the_caller_does_not_undo_its_commit(store: Store) -> None:
    await store.commit("s", [])
    caller = asyncio.create_task(store.commit("s", [chunk("a", "t")]), name="caller")
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await store.commit("s", [chunk("b", "t")])
    assert await shown(store, "s") == [(1, OutputDelta("a")), (2, OutputDelta("b"))]


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, object(), {1, 2, object()}])
async def test_values_that_json_or_unicode_cannot_represent_are_malformed(
    store: Store, value: object
) -> None:
    with pytest.raises(Malformed):
        await store.commit("s", [chunk("fine", "t"), Draft(AgentRecord(value), "t")])
    with pytest.raises(Malformed):
        await store.commit("s", [chunk("fine", "t\ud800")])
    with pytest.raises(Malformed):
        await store.commit("s\ud800", [])
    with pytest.raises(Malformed):
        await store.commit("s", [], key=replace(KEY, key="\udc00"))
    with pytest.raises(Malformed):
        await store.commit("s", [], rows=[replace(ROW, name="a\x00b")])
    assert await store.head("s") is None


async def test_a_value_nested_too_deeply_is_malformed(store: Store) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Malformed):
        await store.commit("s", [Draft(AgentRecord(deep), "t")])
    while deep:  # take it apart, because CPython would free it recursively
        deep = deep.pop()  # type: ignore[assignment]


async def test_a_closed_store_rejects_commits(store: Store) -> None:
    done = await store.commit("s", [chunk("a", "t")])
    waiting = asyncio.create_task(store.wait("s", Position(done.epoch, 1)), name="waiting")
    await asyncio.sleep(0)
    await store.aclose()
    async with asyncio.timeout(60):
        await waiting
    with pytest.raises(StoreRefused):
        await store.commit("s", [chunk("b", "t")])
    with pytest.raises(StoreRefused):
        await store.page("s", Position(done.epoch, 0))
    await store.aclose()


async def test_a_limited_find_returns_the_first_rows_or_the_newest(store: Store) -> None:
    rows = [replace(ROW, id=f"s{at}", name=None, at=at) for at in (3, 1, 2)]
    await store.commit("s", [], rows=rows)
    assert [row.at for row in await store.find("session", limit=2)] == [1, 2]
    assert [row.at for row in await store.find("session", limit=2, newest=True)] == [2, 3]
    assert [row.at for row in await store.find("session", limit=5, newest=True)] == [1, 2, 3]


async def test_rows_are_found_by_several_states_and_counted_by_parent(store: Store) -> None:
    states = {"a": ("apollo", "active"), "b": ("apollo", "paused"), "c": ("athena", "active")}
    over = {"d": ("apollo", "stopped"), "e": ("athena", "expired")}
    rows = [
        replace(ROW, id=id, name=None, parent=parent, state=state)
        for id, (parent, state) in (states | over).items()
    ]
    theirs = replace(ROW, id="f", name=None, parent="apollo", state="active", owner="somebody else")
    await store.commit("s", [], rows=[*rows, theirs])
    wanted = ("active", "paused")
    found = await store.find("session", state=wanted, owner=ROW.owner)
    assert [row.id for row in found] == ["a", "b", "c"]
    assert await store.find("session", state=()) == []
    assert await store.counts("session", state=wanted, owner=ROW.owner) == {"apollo": 2, "athena": 1}
    assert await store.counts("session", state=wanted, owner="nobody") == {}
    assert await store.has("session", parent="athena", state=wanted)
    assert not await store.has("session", parent="nobody", state=wanted)
    assert not await store.has("turn", parent="athena", state=wanted)
    assert not await store.has("session", parent="athena", state=["gone"])


async def test_each_commit_is_observed_once_with_its_rows_and_what_it_dropped(store: Store) -> None:
    seen: list[object] = []
    store.observe(lambda stream, rows, dropped: seen.append((stream, contents(rows), list(dropped))))
    await store.commit("s", [chunk("a", "t")], rows=[ROW], key=KEY)
    await store.commit("s", [chunk("a", "t")], rows=[ROW], key=KEY)  # replayed
    with pytest.raises(StateConflict):
        await store.commit("s", [], rows=[ROW], expects=[Expect("session", "s1", version=0)])
    await store.commit("s", [], drop=[("session", "s1")])
    await store.commit("other", [chunk("b", "t")])
    await store.forget("other", drop=[("turn", "t")])
    assert seen == [
        ("s", [ROW], []),
        ("s", [], [("session", "s1")]),
        ("other", [], []),
        ("other", [], [("turn", "t")]),
    ]


async def test_a_commit_is_readable_when_it_is_observed_and_its_caller_has_not_continued(
    store: Store,
) -> None:
    seen: list[bool] = []
    done = False
    store.observe(lambda stream, rows, dropped: seen.append(done))
    await store.commit("s", [chunk("a", "t")])
    done = True
    await asyncio.sleep(0)
    assert seen == [False]
