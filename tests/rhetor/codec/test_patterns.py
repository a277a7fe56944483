"""Users' patterns, which are searched in the event loop."""

from __future__ import annotations

import time

import pytest

from rhetor.codec.patterns import InvalidPattern, Pattern


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("^(a+)+$", "a" * 40 + "!"),
        ("(x+x+)+y", "x" * 10_000),
        ("(?:a|a)*$b", "a" * 200),
        ("a*" * 30 + "b", "a" * 5_000),
        (r"(\w+\s?)*:$", "word " * 2_000 + "!"),
        ("(.*)*(.*)*x", "y" * 20_000),
    ],
)
def test_every_pattern_fails_quickly_on_a_line_that_does_not_match(pattern: str, line: str) -> None:
    began = time.process_time()
    assert not Pattern(pattern).found_in(line)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"^\S+@\S+:.*[#$] $", "root@box:~# "),
        (r"❯ $", "~/src ❯ "),
        (r"(?i)^sql> ?$", "SQL> "),
        (r"^(gdb|\(Pdb\)) ", "(Pdb) "),
        (r"^In \[\d+\]: $", "In [12]: "),
    ],
)
def test_common_prompts_are_found(pattern: str, line: str) -> None:
    assert Pattern(pattern).found_in(line)
    assert not Pattern(pattern).found_in("an answer")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing ): ("),
        ("(a{1000}){1000}", "invalid repetition size: {1000}"),
        ("(?=x)y", "invalid perl operator: (?="),
        (r"(a)\1", "invalid escape sequence: \\1"),
        ("x" * 1001, "it has more than 1000 characters"),
    ],
)
def test_an_invalid_pattern_is_rejected_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidPattern) as invalid:
        Pattern(pattern)
    assert str(invalid.value) == reason
