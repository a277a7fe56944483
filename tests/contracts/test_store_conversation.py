"""Messages as models and searches see them, whatever happened to the events."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from rhetor.domain.event import (
    Folded,
    OutputDelta,
    OutputPartial,
    Payload,
    Position,
    TurnCompleted,
    TurnFailed,
    TurnStarted,
    UsageReported,
)
from rhetor.errors import NotFound
from rhetor.store.base import ANY, MOST_PREFACE, Among, Draft, Hit, Row, Store, Summary

from .store_kit import answer, chunk, events, failure, gapless, partial, question, shown

pytestmark = pytest.mark.anyio


async def said(store: Store, stream: str, limit: int = 100, *, answered: bool = True) -> list[str]:
    return [spoken.content for spoken in await store.spoken(stream, limit, answered=answered)]


async def turns(store: Store, stream: str, *names: str) -> None:
    for name in names:
        await store.commit(stream, [question(f"{name}?", name), answer(f"{name}!", name)])


async def test_messages_come_oldest_first_with_their_turn_time_and_number(store: Store) -> None:
    done = await store.commit("s", [question("hi", "t"), chunk("yo", "t"), answer("yo", "t")])
    asked, answered = await store.spoken("s", 10)
    [first, _, last] = await events(store, "s")
    assert (asked.turn_id, asked.role, asked.content, asked.at, asked.seq) == ("t", "user", "hi", first.at, 1)
    assert (answered.role, answered.content, answered.at, answered.seq) == ("assistant", "yo", last.at, 3)
    assert done.last == 3


async def test_an_answer_that_only_calls_tools_names_them(store: Store) -> None:
    only = TurnCompleted("m", "\n", "tool_calls", called=("clock", "calendar"))
    also = TurnCompleted("m", "I look.", "tool_calls", called=("clock",))
    await store.commit("s", [question("hi", "t"), Draft(only, "t"), question("ho", "u"), Draft(also, "u")])
    assert await said(store, "s") == ["hi", "[Calls of clock, calendar]", "ho", "I look."]


async def test_a_limit_keeps_the_last_messages(store: Store) -> None:
    await turns(store, "s", "a", "b", "c")
    assert await said(store, "s", 4) == ["b?", "b!", "c?", "c!"]
    assert await said(store, "s", 3) == ["b!", "c?", "c!"]
    assert await said(store, "s", 0) == []
    assert await said(store, "s", 3, answered=False) == ["b!", "c?", "c!"]


async def test_messages_up_to_a_position_are_those_of_its_branch(store: Store) -> None:
    await turns(store, "s", "a", "b")
    first = await store.head("s")
    assert first is not None
    await store.commit("s", [], base=("s", Position(first.epoch, 2)))
    await turns(store, "s", "c", "d")
    second = await store.head("s")
    assert second is not None

    async def until(epoch: str, seq: int) -> list[str]:
        found = await store.spoken("s", 100, answered=False, until=Position(epoch, seq))
        return [spoken.content for spoken in found]

    assert await until(first.epoch, 4) == ["a?", "a!", "b?", "b!"]
    assert await until(first.epoch, 3) == ["a?", "a!", "b?"]
    assert await until(second.epoch, 2) == ["a?", "a!", "c?", "c!"]
    assert await until(second.epoch, 0) == ["a?", "a!"]
    for stream, epoch in (("s", "0" * 32), ("other", first.epoch)):
        with pytest.raises(NotFound):
            await store.spoken(stream, 100, until=Position(epoch, 1))


async def test_an_unanswered_question_is_not_part_of_the_conversation(store: Store) -> None:
    await store.commit("s", [question("a?", "a"), question("b?", "b"), question("c?", "c")])
    await store.commit("s", [answer("a!", "a"), failure("b")])
    assert await said(store, "s") == ["a?", "a!"]
    await store.commit("s", [partial("c…", "c"), failure("c")])
    assert await said(store, "s") == ["a?", "a!", "c?", "c…"]
    assert await said(store, "s", answered=False) == ["a?", "b?", "c?", "a!", "c…"]


async def test_the_last_answer_of_a_turn_counts(store: Store) -> None:
    await store.commit("s", [question("a?", "a"), partial("a…", "a"), answer("a!", "a")])
    assert await said(store, "s") == ["a?", "a!"]


async def test_a_fork_has_its_parents_messages_up_to_its_position(store: Store) -> None:
    await turns(store, "parent", "a", "b")
    head = await store.head("parent")
    assert head is not None
    await store.commit("fork", [], base=("parent", Position(head.epoch, 2)))
    await turns(store, "parent", "c")
    await turns(store, "fork", "d")
    fork = await store.head("fork")
    assert fork is not None
    await store.commit("twig", [question("e?", "e")], base=("fork", Position(fork.epoch, 2)))
    await store.commit("twig", [answer("e!", "e")])
    assert await said(store, "fork") == ["a?", "a!", "d?", "d!"]
    assert await said(store, "twig") == ["a?", "a!", "d?", "d!", "e?", "e!"]
    assert await said(store, "twig", 5) == ["a!", "d?", "d!", "e?", "e!"]
    assert await said(store, "parent") == ["a?", "a!", "b?", "b!", "c?", "c!"]


async def test_a_restore_forgets_later_messages_and_can_be_undone(store: Store) -> None:
    await turns(store, "s", "a", "b")
    old = await store.head("s")
    assert old is not None
    await store.commit("s", [], base=("s", Position(old.epoch, 3)))  # in the middle of b
    assert await said(store, "s") == ["a?", "a!"]
    await turns(store, "s", "c")
    assert await said(store, "s") == ["a?", "a!", "c?", "c!"]
    await store.commit("s", [], base=("s", Position(old.epoch, old.head)))
    assert await said(store, "s") == ["a?", "a!", "b?", "b!"]


async def test_a_summary_has_first_words_messages_and_cost(store: Store) -> None:
    await turns(store, "s", "a", "b")
    old = await store.head("s")
    assert old is not None
    reports = [UsageReported("m", 1, 1, cost=cost) for cost in ("0.10", "0.05")]
    await store.commit("s", [Draft(report, "b") for report in reports])
    await store.commit("s", [question("c?", "c"), partial("c", "c"), answer("c!", "c")])
    await store.commit("fork", [], base=("s", Position(old.epoch, 2)))
    await store.commit("fork", [question("d?", "d"), used("m", "d")])
    await store.commit("long", [question("  why\n" + "x " * 400, "e")])
    note = f"<system-reminder>{'n' * 1000}</system-reminder>"
    await store.commit("noted", [question(f"{note}\n\nfix it", "g")])
    await store.commit("empty", [Draft(TurnStarted("apollo"), "f")])
    found = await store.summaries(["s", "fork", "long", "noted", "empty", "none"])
    assert found == {
        "s": Summary("a?", 6, Decimal("0.15"), is_complete=True),
        "fork": Summary("a?", 3, None, is_complete=False),
        "long": Summary(("why " + "x " * 400)[:200], 1),
        "noted": Summary("fix it", 1),
        "empty": Summary(),
    }
    await store.commit("s", [], base=("s", Position(old.epoch, 2)))  # the restore takes no cost back
    assert (await store.summaries(["s"]))["s"] == Summary("a?", 2, Decimal("0.15"))
    await store.truncate("fork", 99)
    assert (await store.summaries(["fork"]))["fork"] == Summary("a?", 3, None, is_complete=False)


async def test_messages_outlive_their_events(store: Store) -> None:
    await turns(store, "s", "a", "b")
    await store.truncate("s", 99)
    assert await said(store, "s") == ["a?", "a!", "b?", "b!"]
    assert len(await store.search("a")) == 2


async def test_each_run_of_adjacent_chunks_becomes_one_fold(store: Store) -> None:
    await store.commit("s", [question("q", "t"), Draft(TurnStarted("apollo"), "t"), chunk("a", "t")])
    await store.commit("s", [chunk("b", "t"), chunk("other", "u"), chunk("c", "t")])
    end = answer("abc", "t")
    await store.commit("s", [Draft(OutputDelta("hm", "reasoning"), "t"), chunk("d", "t"), end])
    before = dict(await shown(store, "s"))
    assert await store.fold("s", "t") == 4
    after: dict[int, Payload] = dict(await shown(store, "s"))
    expected = before | {4: Folded(3, 4), 6: Folded(6, 6), 8: Folded(8, 8)}
    del expected[3]
    assert after == expected
    assert gapless(await events(store, "s"))
    assert await store.fold("s", "t") == 0
    assert dict(await shown(store, "s")) == expected


@pytest.mark.parametrize(
    ("end", "went"),
    [
        ([], 0),
        ([partial("ab", "t")], 0),
        ([failure("t")], 0),
        ([partial("ab", "t"), failure("t")], 2),
        ([answer("ab", "t")], 2),
        ([answer("ab", "other")], 0),
    ],
)
async def test_only_chunks_whose_text_is_kept_elsewhere_are_folded(
    store: Store, end: list[Draft], went: int
) -> None:
    await store.commit("s", [question("q", "t"), chunk("a", "t"), chunk("b", "t"), *end])
    before = await shown(store, "s")
    assert await store.fold("s", "t") == went
    assert (await shown(store, "s") == before) == (went == 0)


async def test_a_fold_of_partly_truncated_chunks_begins_at_the_earliest_number(store: Store) -> None:
    await store.commit("s", [question("q", "t"), *(chunk(c, "t") for c in "abcd"), answer("abcd", "t")])
    await store.truncate("s", 4)
    assert await store.fold("s", "t") == 2
    assert await shown(store, "s", after=3) == [
        (5, Folded(4, 5)),
        (6, TurnCompleted("m_t", "abcd", "stop")),
    ]
    await store.truncate("s", 5)
    assert [seq for seq, _ in await shown(store, "s", after=4)] == [5, 6]


async def test_folding_keeps_the_text_of_a_turn_that_did_not_complete(store: Store) -> None:
    await store.commit("s", [question("q", "t"), chunk("ha", "t"), partial("ha", "t"), failure("t")])
    await store.fold("s", "t")
    assert [payload for _, payload in await shown(store, "s", after=1)] == [
        Folded(2, 2),
        OutputPartial("ha"),
        TurnFailed("provider_failed", "no", retryable=False),
    ]
    assert await said(store, "s") == ["q", "ha"]


async def places(store: Store, words: str, among: Among = ANY, limit: int = 50) -> set[tuple[str, int]]:
    hits = await store.search(words, among, limit=limit)
    return {(hit.stream, hit.position.seq) for hit in hits}


async def test_a_search_finds_messages_that_have_all_the_words(store: Store) -> None:
    await store.commit("s", [question("The quick brown fox", "t"), answer("jumps over the lazy dog", "t")])
    await store.commit("u", [question("a quick answer", "v"), partial("quick and BROWN", "v")])
    assert await places(store, "quick") == {("s", 1), ("u", 1), ("u", 2)}
    assert await places(store, "QUICK brown") == {("s", 1), ("u", 2)}
    assert await places(store, "brown-quick!") == {("s", 1), ("u", 2)}
    assert await places(store, "quick", Among(streams=["u", "none"])) == {("u", 1), ("u", 2)}
    assert await places(store, "quick", Among(streams=[])) == set()
    assert await places(store, "quick dog") == set()
    assert len(await places(store, "quick", limit=2)) == 2


async def test_a_hit_has_position_role_and_marked_words(store: Store) -> None:
    done = await store.commit("s", [question("one two three", "t")])
    [event] = await events(store, "s")
    expected = Hit("s", Position(done.epoch, 1), "t", "user", "one \x02two\x03 three", event.at)
    assert await store.search("TWO") == [expected]


async def test_an_excerpt_of_a_long_text_is_short_and_shows_the_word(store: Store) -> None:
    await store.commit("s", [question("before " * 500 + "needle" + " after" * 500, "t")])
    [hit] = await store.search("needle")
    assert "\x02needle\x03" in hit.excerpt
    assert len(hit.excerpt) < 500


@pytest.mark.parametrize(
    "words",
    [
        '"',
        "'",
        "AND",
        "NOT x",
        "a OR",
        "NEAR(",
        "*",
        "col:x",
        "^",
        "(",
        "x\x00y",
        "",
        "  ",
        "-",
        "🦉",
        "\ud800",
    ],
)
async def test_any_search_text_is_accepted(store: Store, words: str) -> None:
    await store.commit("s", [question("nothing of that", "t")])
    assert await store.search(words) == []


async def test_operators_of_the_query_language_are_plain_words(store: Store) -> None:
    await store.commit("s", [question("this AND that OR \x00 nearby", "t")])
    assert await places(store, "and or") == {("s", 1)}


async def test_reasoning_is_not_part_of_the_conversation(store: Store) -> None:
    await store.commit("s", [Draft(OutputDelta("secret", "reasoning"), "t"), chunk("chunked", "t")])
    assert await store.search("secret") == []
    assert await store.search("chunked") == []


async def test_the_last_questions_of_all_streams_come_newest_first_with_their_answers(store: Store) -> None:
    await turns(store, "s", "a")
    await store.commit("other", [question("b?", "b"), partial("b…", "b"), failure("b")])
    await store.commit("s", [question("c?", "c")])
    found = [(e.stream, e.turn_id, e.question, e.answer) for e in await store.recent(10)]
    assert sorted(found) == [("other", "b", "b?", "b…"), ("s", "a", "a?", "a!"), ("s", "c", "c?", "")]
    assert [e.at for e in await store.recent(10)] == sorted(
        (e.at for e in await store.recent(10)), reverse=True
    )
    assert len(await store.recent(2)) == 2
    pages = [(await store.recent(2))[1].turn_id, "nothing"]
    assert [len(await store.recent(10, before=turn)) for turn in pages] == [0, 0]  # they have no rows


def turn(id: str, stream: str, peer: str, owner: str = "me") -> Row:
    return Row("turn", id, "completed", b'{"peer":"%b"}' % peer.encode(), owner=owner, parent=stream)


def used(model: str | None, turn: str) -> Draft:
    return Draft(UsageReported(model, 1, 1), turn)


async def asked(
    store: Store, stream: str, turn_id: str, at: int, peer: str, *more: Draft, owner: str = "me"
) -> None:
    """Log a turn with its row. Its question has the word `needle`, which the answer repeats."""
    drafts = [question(f"needle {turn_id}", turn_id), *more, answer(f"Needle: {turn_id}!", turn_id)]
    rows = [turn(turn_id, stream, peer, owner)]
    await store.commit(stream, [replace(draft, at=at) for draft in drafts], rows=rows)


async def test_questions_and_searches_are_narrowed_by_peer_stream_time_model_and_owner(store: Store) -> None:
    started = Draft(TurnStarted("apollo", "openai/gpt-5"), "t1")
    await asked(store, "s", "t1", 10, "apollo", started)
    await asked(store, "s", "t2", 20, "athena", used("small", "t2"), used("openai/gpt-5-mini", "t2"))
    await asked(store, "p", "t3", 30, "apollo", used("other/gpt-5", "t3"), used(None, "t3"))
    await asked(store, "u", "t4", 40, "apollo", owner="you")
    await store.commit(
        "v", [question("needle t5", "t5"), Draft(TurnStarted("hermes", "m"), "t5"), failure("t5")]
    )

    async def found(among: Among) -> str:
        recent = " ".join(e.turn_id for e in await store.recent(10, among) if e.turn_id != "t5")
        hits = {hit.turn_id for hit in await store.search("needle", among)} - {"t5"}
        assert sorted(recent.split()) == sorted(str(turn_id) for turn_id in hits)
        return recent

    assert await found(Among()) == "t4 t3 t2 t1"
    assert await found(Among(owner="me")) == "t3 t2 t1"
    assert await found(Among(peer="apollo")) == "t4 t3 t1"
    assert await found(Among(owner="me", peer="apollo", since=11)) == "t3"
    assert await found(Among(since=20)) == "t4 t3 t2"
    assert await found(Among(streams=["s", "u"])) == "t4 t2 t1"
    assert await found(Among(streams=["s"], peer="athena")) == "t2"
    assert await found(Among(model="gpt-5")) == "t3 t1"
    assert await found(Among(model="openai/gpt-5")) == "t1"
    assert await found(Among(model="gpt-5-mini")) == "t2"
    assert await found(Among(model="small")) == ""
    [failed] = await store.recent(10, Among(model="m"))
    assert (failed.turn_id, failed.answer, failed.peer) == ("t5", "", "")
    [first, *_] = await store.recent(10, Among(peer="athena"))
    assert (first.peer, first.question, first.answer) == ("athena", "needle t2", "Needle: t2!")


async def test_pages_of_questions_are_complete_whatever_their_times(store: Store) -> None:
    times = [5, 5, 5, 9, 5, 7, 7, 5]
    for number, at in enumerate(times):
        await asked(store, f"s{number % 3}", f"t{number}", at, ("apollo", "athena")[number % 2])
    for among in (ANY, Among(peer="apollo"), Among(streams=["s0", "s2"]), Among(since=6)):
        whole = [e.turn_id for e in await store.recent(100, among)]
        paged: list[str] = []
        while page := await store.recent(2, among, before=paged[-1] if paged else None):
            paged += [e.turn_id for e in page]
        assert paged == whole
    assert [e.at for e in await store.recent(100)] == sorted(times, reverse=True)
    assert await store.recent(0) == []


async def test_an_event_of_an_earlier_time_keeps_that_time(store: Store) -> None:
    await store.commit("s", [question("new?", "n")])
    drafts = [replace(question("old?", "o"), at=7), replace(answer("old!", "o"), at=9)]
    await store.commit("s", drafts)
    assert [event.at for event in await events(store, "s")][1:] == [7, 9]
    assert [(s.turn_id, s.at) for s in await store.spoken("s", 2)] == [("o", 7), ("o", 9)]
    assert [hit.at for hit in await store.search("old")] in ([7, 9], [9, 7])
    found = await store.recent(10)
    assert [(e.turn_id, e.answer) for e in found] == [("n", ""), ("o", "old!")]
    assert [e.turn_id for e in await store.recent(1)] == ["n"]


async def test_the_last_message_of_each_stream_is_found_also_in_its_bases(store: Store) -> None:
    await turns(store, "a", "one", "two")
    head = await store.head("a")
    assert head is not None
    await store.commit("fork", [], base=("a", head.position))
    await store.commit("early", [], base=("a", Position(head.epoch, 3)))
    await store.commit("asked", [question("why?", "t"), chunk("be", "t")])
    await store.commit("empty", [])
    found = await store.last_messages(["a", "fork", "early", "asked", "empty", "none"])
    assert found == {"a": "two!", "fork": "two!", "early": "two?", "asked": "why?"}


async def test_of_a_long_last_message_only_the_beginning_is_read(store: Store) -> None:
    await store.commit("s", [question("x" * (2 * MOST_PREFACE), "t")])
    assert await store.last_messages(["s"]) == {"s": "x" * MOST_PREFACE}


async def test_the_beginning_of_a_message_is_not_cut_at_a_nul(store: Store) -> None:
    await store.commit("s", [question("before\x00after", "t_1")])
    assert (await store.summaries(["s"]))["s"].first == "before\x00after"
    assert await store.last_messages(["s"]) == {"s": "before\x00after"}
