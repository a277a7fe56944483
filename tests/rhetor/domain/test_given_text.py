"""A given conversation as text."""

from __future__ import annotations

from rhetor.domain.given import GivenMessage, SaidCall, SaidPart, SaidReasoning, SaidResult, SaidText
from rhetor.domain.given_text import names_of, paired, shown, told
from rhetor.domain.parts import GivenPart

CALL = GivenMessage("assistant", (SaidReasoning("hm"), SaidText("I look."), SaidCall("c1", "clock", "{}")))
PICTURE = SaidPart(GivenPart("image", name="clock.png"))
RESULT = GivenMessage("user", (SaidResult("c1", (SaidText("noon"), PICTURE)),))


def test_readers_see_the_text_of_new_messages_or_whose_results_they_are() -> None:
    names = names_of([CALL])
    assert shown([RESULT, GivenMessage("user", (SaidText("and now?"),))], names) == "and now?"
    assert shown([RESULT], names) == "[Result of clock]"
    many = GivenMessage("user", tuple(SaidResult(f"c{n}") for n in range(1, 9)))
    assert shown([many], names) == "[Results of clock, c2, c3, c4, c5 and 3 more]"
    assert shown([GivenMessage("user", (PICTURE,))], names) == ""


def test_a_peer_that_takes_text_is_told_calls_and_results() -> None:
    names = names_of([CALL])
    assert told(CALL, names) == "I look.\n\n[Call of clock: {}]"
    assert told(RESULT, names) == "[Result of clock: noon]"
    failed = GivenMessage("user", (SaidResult("c1", (SaidText("stopped"),), True),))
    assert told(failed, names) == "[Error of clock: stopped]"


def test_calls_and_results_that_are_not_together_become_text() -> None:
    more = GivenMessage("user", (SaidText("and now?"),))
    answer = GivenMessage("assistant", (SaidText("noon"),))
    together = [more, CALL, RESULT, more, answer, more]
    assert paired(together) == together
    apart = paired([CALL, more, answer, RESULT])
    assert apart[0].blocks[-1] == SaidText("[Call of clock: {}]")
    assert apart[-1].blocks == (SaidText("[Result of clock: noon]"), PICTURE)
    assert apart[1:3] == [more, answer]
