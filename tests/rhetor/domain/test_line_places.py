"""The steps of a line with their places, also while the line is typed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rhetor.domain.line_places import MOST_STAGES, Reading, read
from rhetor.domain.lines import steps_of_line
from rhetor.errors import Unprocessable


def places(line: str) -> list[tuple[str, str, str]]:
    """Return each step's id, the text of its place, and that of its name."""
    found = read(line)
    return [
        (s.id, line[s.start : s.start + s.length], line[s.name_start : s.name_start + len(s.name)])
        for s in found.steps
    ]


def problems(line: str) -> list[tuple[str, str]]:
    """Return the text of each problem's place, and what it says."""
    return [(line[p.start : p.start + p.length], p.detail) for p in read(line).problems]


LINES = [
    'apollo "hi" | athena',
    "{apollo|athena} | zeus -s",
    'apollo,athena -s=3 << "which cache?"',
    "a, b << hello there",
    '@code-analysis "read" | team:reviewers | {a|@b|team:c} | d',
    '  apollo   hi   |athena|  zeus --if-idle "more"  ',
    "apollo $(date) `x` | b",
    'apollo -m=openai/x -S="be kind" "a | b" -x',
]


@pytest.mark.parametrize("line", LINES)
def test_a_valid_line_has_the_steps_that_run_and_no_problems(line: str) -> None:
    found = read(line)
    assert found.problems == []
    assert tuple(placed.step for placed in found.steps) == steps_of_line(line)
    assert [placed.id for placed in found.steps] == [step.id for step in steps_of_line(line)]
    assert [placed.needs for placed in found.steps] == [step.needs for step in steps_of_line(line)]
    for placed in found.steps:
        assert line[placed.name_start :].startswith(placed.name)
        assert placed.start <= placed.name_start < placed.start + placed.length <= len(line)


def test_each_step_is_at_its_stage_or_its_name() -> None:
    assert places('apollo "hi" | {athena | zeus} | @code') == [
        ("s1", 'apollo "hi"', "apollo"),
        ("s2.1", "athena", "athena"),
        ("s2.2", "zeus", "zeus"),
        ("s3", "@code", "@code"),
    ]
    assert places("a, team:b -s << hi") == [("s1", "a", "a"), ("s2", "team:b", "team:b")]


def test_an_unfinished_line_keeps_its_steps() -> None:
    assert places('apollo "hel') == [("s1", 'apollo "hel', "apollo")]
    assert problems('apollo "hel') == [('"hel', 'the quote " is not closed')]
    assert [id for id, *_ in places("a x | b | ")] == ["s1", "s2"]
    assert problems("a x | b | ") == [("|", "a stage is missing after |")]
    assert problems("| b") == [("|", "a stage is missing before |")]
    assert [id for id, *_ in places("a,b <<")] == ["s1", "s2"]
    assert problems("a,b <<") == [("<<", "a broadcast needs a text after <<")]


def test_every_stage_has_its_own_problems() -> None:
    line = "a --foo x | b -f=notes.txt | c"
    assert problems(line) == [
        ("--foo", "unknown option --foo"),
        ("b -f=notes.txt", "-f works only in the shell: the hub opens no files and no conversations"),
    ]
    assert [placed.step is None for placed in read(line).steps] == [True, True, False]


def test_files_and_several_lines_are_problems() -> None:
    told = "`<` and `>` work only in the shell: the hub does not open files"
    assert problems("< in.txt a | b > out.txt") == [("<", told), (">", told)]
    assert problems("a x; b y") == [("a x; b y", "it is more than one line")]
    assert problems("   ") == [("   ", "the line is empty")]


def test_a_line_with_too_many_stages_is_not_read() -> None:
    found = read("|".join(["a"] * (MOST_STAGES + 1)))
    assert (found.steps, len(found.problems)) == ([], 1)


PIECES = st.sampled_from(
    [
        *("apollo", " ", "|", '"hi"', '"', "'", "{a|b}", "{", "}", ",", "<<", "<", ">", "-s", "--foo", "@x"),
        *("&&", "team:a", "\n", "\\", "$(", ")", "é", "-s=", "--", ";", "if ", "-a=x", "--schema={", "🦉"),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("|")
@example("{<<")
def test_any_line_is_read_and_one_without_problems_runs(line: str) -> None:
    found: Reading = read(line)
    shown = [(step.start, step.length) for step in found.steps]
    for start, length in (*shown, *((problem.start, problem.length) for problem in found.problems)):
        assert 0 <= start <= start + length <= max(len(line), start + 1)
    try:
        steps = steps_of_line(line)
    except Unprocessable:
        assert found.problems != []
        return
    if not found.problems:
        assert tuple(placed.step for placed in found.steps) == steps
