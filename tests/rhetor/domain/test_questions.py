"""Questions of a permission request, and what counts as an answer."""

from __future__ import annotations

import pytest

from rhetor.domain.event import PermissionAsked, PermissionOption
from rhetor.domain.permission import Rules, decided
from rhetor.domain.questions import HIDDEN, Choice, Question, checked, shown, with_ids
from rhetor.errors import Unprocessable

COLOUR = Question("c", "Colour", "Which colour?", (Choice("Red"), Choice("Blue, dark")))
SIZES = Question("s", "Sizes", "Which sizes?", (Choice("S"), Choice("L")), multi_select=True)
KEY = Question("k", "Key", "Which key?", secret=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"c": ["Red"]}, ["Red"]),
        ({"Colour": ["red"]}, ["Red"]),
        ({"which colour?": "blue, dark"}, ["Blue, dark"]),
        ({"1": "green"}, "green"),
    ],
)
def test_a_question_has_several_names_and_accepts_a_text(
    given: dict[str, list[str] | str], expected: list[str] | str
) -> None:
    assert checked([COLOUR], given) == {"c": expected}


def test_every_question_needs_an_answer_and_a_secret_one_is_not_shown() -> None:
    answers = checked([COLOUR, SIZES, KEY], {"c": ["Red"], "s": ["L", "S", "L"], "k": ["abc"]})
    assert answers == {"c": ["Red"], "s": ["L", "S"], "k": "abc"}
    assert shown([COLOUR, SIZES, KEY], answers) == {"c": ["Red"], "s": ["L", "S"], "k": HIDDEN}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"c": ["Red"]}, "no answer to s"),
        ({"c": ["Red"], "s": []}, "the answer to 's' is empty"),
        ({"c": " ", "s": ["S"]}, "the answer to 'c' is empty"),
        ({"c": ["Red", "Blue, dark"], "s": ["S"]}, "'c' takes one answer, not 2"),
        ({"c": ["Green"], "s": ["S"]}, "'c' has no option 'Green'"),
        ({"x": ["Red"], "s": ["S"]}, "the request has no question 'x'"),
        ({"c": ["Red"], "Colour": ["Red"], "s": ["S"]}, "'c' is answered twice"),
    ],
)
def test_an_invalid_answer_is_rejected(given: dict[str, list[str] | str], why: str) -> None:
    with pytest.raises(Unprocessable, match=why):
        checked([COLOUR, SIZES], given)


def test_questions_without_ids_are_named_by_their_headers_or_numbers() -> None:
    assert [q.id for q in with_ids([COLOUR, SIZES])] == ["Colour", "Sizes"]
    assert [q.id for q in with_ids([COLOUR, COLOUR])] == ["1", "2"]


def test_no_rule_answers_a_question_but_a_rule_may_deny_it() -> None:
    kinds = {"answer": "allow_once", "deny": "reject_once"}
    options = tuple(PermissionOption(id, id, kind) for id, kind in kinds.items())
    asked = PermissionAsked("r", "Ask", None, options, questions=(COLOUR,))
    assert decided(Rules(allow=("Ask",)), asked) is None
    denied = decided(Rules(deny=("Ask",)), asked)
    assert denied is not None
    assert denied.option_id == "deny"
