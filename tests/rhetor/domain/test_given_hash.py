"""A conversation is recognized when a client gives it back, however the client writes it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.given import (
    Block,
    GivenMessage,
    SaidCall,
    SaidPart,
    SaidReasoning,
    SaidResult,
    SaidText,
)
from rhetor.domain.given_hash import chain, continuation_id, exact, unmarked
from rhetor.domain.parts import GivenPart

QUESTION = GivenMessage("user", (SaidText("what time is it?"),))
ANSWER = GivenMessage("assistant", (SaidText("I look."), SaidCall("c1", "clock", '{"zone":"UTC","day":1}')))

words = st.text(st.characters(codec="utf-8"), max_size=20)
json_values = st.dictionaries(words, st.integers() | words | st.none() | st.booleans(), max_size=3)
blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(SaidText, words),
    st.builds(SaidCall, words, words, json_values.map(json.dumps)),
    st.builds(SaidResult, words, st.tuples(st.builds(SaidText, words))),
    st.builds(lambda data: SaidPart(GivenPart("image", data=data)), st.binary(max_size=9)),
)
messages = st.builds(
    GivenMessage, st.sampled_from(("user", "assistant")), st.lists(blocks, max_size=4).map(tuple)
)
conversations = st.lists(messages, max_size=6)


def rewritten(block: Block) -> Block:
    match block:
        case SaidText(text):
            return SaidText(f"  {text}\n\n", "5m")
        case SaidCall(id, name, arguments):
            return SaidCall(id, name, json.dumps(json.loads(arguments), indent=2, sort_keys=True), "1h")
    return block


@given(conversations)
def test_spaces_marks_reasoning_and_the_form_of_arguments_do_not_count(said: list[GivenMessage]) -> None:
    again = [
        GivenMessage(message.role, (*map(rewritten, message.blocks), SaidReasoning("hm"))) for message in said
    ]
    assert chain(again) == chain(said)


@given(conversations)
def test_one_side_may_say_it_in_one_message_or_in_several(said: list[GivenMessage]) -> None:
    split = [GivenMessage(m.role, (block,)) for m in said for block in m.blocks or (SaidText(""),)]
    assert chain(split) == chain(said)


@given(conversations, conversations)
def test_the_hash_of_the_earlier_messages_is_enough_to_continue(
    earlier: list[GivenMessage], new: list[GivenMessage]
) -> None:
    before = [*earlier, ANSWER]
    assert chain([QUESTION, *new], chain(before)) == chain([*before, QUESTION, *new])


def test_what_was_said_by_whom_counts() -> None:
    others = [
        GivenMessage("assistant", ANSWER.blocks[:1]),
        GivenMessage("user", ANSWER.blocks),
        GivenMessage("assistant", (ANSWER.blocks[0], SaidCall("c2", "clock", '{"zone":"UTC","day":1}'))),
        GivenMessage("assistant", (ANSWER.blocks[0], SaidCall("c1", "clock", '{"zone":"CET","day":1}'))),
        GivenMessage("assistant", (ANSWER.blocks[0], SaidCall("c1", "clock", "not JSON"))),
        GivenMessage("assistant", (*ANSWER.blocks, SaidPart(GivenPart("image", data=b"x")))),
        GivenMessage("assistant", (*ANSWER.blocks, SaidPart(GivenPart("image", url="https://x/y.png")))),
    ]
    assert len({chain([QUESTION, each]) for each in (ANSWER, *others)}) == len(others) + 1


def test_conversations_of_others_and_with_other_peers_are_different() -> None:
    ids = {
        continuation_id(key, owner, peer, "h")
        for key in (b"1", b"2")
        for owner in ("me", "you")
        for peer in ("apollo", "athena")
    }
    assert len(ids) == 8


def test_the_exact_hash_leaves_out_only_the_marks() -> None:
    marked = GivenMessage("user", (SaidText("what time is it?", "5m"), SaidReasoning("hm")))
    plain = GivenMessage("user", (SaidText("what time is it?"), SaidReasoning("hm")))
    assert exact(marked) == exact(plain) != exact(QUESTION)
    assert unmarked(marked) == plain
    assert unmarked(QUESTION) is QUESTION
