"""The word that was probably meant."""

from __future__ import annotations

import pytest

from aish.catalogue.nearest import did_you_mean, usage_hint


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("sessions shw work", "Did you mean show?"),
        ("session lst", "Did you mean list?"),
        ("sessions list --al", "Did you mean --all?"),
        ("sessions fork work --attt=before", "Did you mean --at?"),
        ("usage --budget", "Did you mean --budgets?"),
        ("usage --by modl", "Did you mean model?"),
        ("usage --by=modl", "Did you mean model?"),
        ("list type greeks", "Did you mean greek?"),
        ("list tpye greek", "Did you mean type?"),
        ("inbox shwo", "Did you mean show?"),
        ("completion bsh", "Did you mean bash?"),
        ("mcp install codx", ""),
        ("sessions list --xyzzy", ""),
        ("wait", ""),
        ("list type greek more", ""),
    ],
)
def test_a_rejected_line_gets_the_word_that_was_probably_meant(line: str, hint: str) -> None:
    assert usage_hint(line.split()) == hint


def test_the_nearest_name_is_found_in_any_case_and_a_distant_one_is_not_guessed() -> None:
    assert did_you_mean("APLO", ["athena", "apollo"]) == "Did you mean apollo?"
    assert did_you_mean("apolo", ["Apollo"]) == "Did you mean Apollo?"
    assert did_you_mean("xyzzy", ["athena", "apollo"]) == ""
    assert did_you_mean("apollo", []) == ""
