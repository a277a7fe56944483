"""What a line means that the hub runs by itself, and which lines it cannot run."""

from __future__ import annotations

import pytest

from rhetor.domain.grammar import Stage
from rhetor.domain.plan import Step
from rhetor.errors import CannotRunLine, Unprocessable
from rhetor.hub.plans.lines import read


@pytest.mark.parametrize(
    ("line", "steps"),
    [
        ("apollo hi", (Step("s1", "apollo", "hi"),)),
        ('athena "a | b" | apollo', (Step("s1", "athena", "a | b"), Step("s2", "apollo", needs=("s1",)))),
        ("a,@code << vote", (Step("s1", "a", "vote"), Step("s2", "@code", "vote"))),
        ("team:reviewers hi", (Step("s1", "team:reviewers", "hi"),)),
        ("team-chat hi", (Step("s1", "team:all", "hi"),)),
        ("apollo -s=diary hi", (Step("s1", "apollo", "hi", session_id="diary"),)),
        ("apollo 'costs $5; or not'", (Step("s1", "apollo", "costs $5; or not"),)),
        (
            "{a|b} | c join",
            (Step("s1.1", "a"), Step("s1.2", "b"), Step("s2", "c", "join", needs=("s1.1", "s1.2"))),
        ),
    ],
)
def test_a_line_becomes_the_steps_that_it_has_in_the_shell(line: str, steps: tuple[Step, ...]) -> None:
    assert read(line) == steps


def test_a_line_can_be_a_message_along_a_route() -> None:
    stage = read('route review "check this" now')
    assert isinstance(stage, Stage)
    assert stage.arguments == ["review", "check this", "now"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("apollo hi > out.md", "`<` and `>`"),
        ("< in.md apollo", "`<` and `>`"),
        ("apollo hi; athena hi", "more than one line"),
        ("apollo hi && athena hi", "more than one line"),
        ("history", "history is a command"),
        ("apollo hi | inbox", "inbox is a command"),
        ("schedule list", "schedule is a command"),
        ("apollo -f notes.md hi", "-f works only in the shell"),
        ("apollo -C hi", "-C works only"),
        ("apollo hi --json", "--json works only"),
        ("a,b --timeout 5 << hi", "--timeout works only"),
        ("apollo hi | route review x", "a route must be the whole line"),
        ("route review x > out", "a route must be the whole line"),
        ("route review", "write a route as"),
        ("route remove review", "write a route as"),
        ("route review x --json", "takes no options"),
    ],
)
def test_what_the_hub_cannot_run_by_itself_is_named(line: str, why: str) -> None:
    with pytest.raises(CannotRunLine, match=why) as caught:
        read(line)
    assert caught.value.status == 422
    assert caught.value.data["hint"]


@pytest.mark.parametrize(
    "line", ["", "|", "apollo |", 'apollo "', "a,b <<", "apollo --bogus hi", "{a|b} text"]
)
def test_an_invalid_line_is_rejected_with_the_place_of_the_error(line: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        read(line)
    assert "column" in caught.value.data


def test_a_line_that_gets_a_message_needs_none_for_its_route() -> None:
    stage = read("route review", message=True)
    assert isinstance(stage, Stage)
    assert stage.arguments == ["review"]
