"""A conversation that a client gives splits at the last message of the assistant."""

import msgspec

from rhetor.domain.given import CallOptions, GivenConversation, GivenMessage, SaidCall, SaidResult, SaidText

QUESTION = GivenMessage("user", (SaidText("What time is it?"),))
CALL = GivenMessage("assistant", (SaidText("I look."), SaidCall("c1", "clock", "{}")))
RESULT = GivenMessage("user", (SaidResult("c1", (SaidText("noon"),)),))


def test_the_messages_after_the_last_answer_are_new() -> None:
    given = GivenConversation((QUESTION, CALL, RESULT, QUESTION))
    assert given.new == (RESULT, QUESTION)
    assert given.earlier == (QUESTION, CALL)


def test_all_messages_of_a_conversation_without_an_answer_are_new() -> None:
    given = GivenConversation((QUESTION,))
    assert (given.new, given.earlier) == ((QUESTION,), ())


def test_a_conversation_is_the_same_after_it_was_stored() -> None:
    given = GivenConversation((QUESTION, CALL, RESULT), options=CallOptions("anthropic", max_tokens=5))
    assert msgspec.json.decode(msgspec.json.encode(given), type=GivenConversation) == given


def test_the_text_of_a_message_leaves_out_its_calls() -> None:
    assert CALL.text == "I look."
