"""The first line of a message, as a list shows it."""

from __future__ import annotations

import pytest

from rhetor.domain.secrets import MASK
from rhetor.domain.titles import MOST_CHARACTERS, title_of


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Fix the test", "Fix the test"),
        ("\n\n  Fix\tthe   test \nand more", "Fix the test"),
        ("<system-reminder>be kind</system-reminder>\nFix it", "Fix it"),
        ("<b>bold</b> words", "<b>bold</b> words"),
        ("x" * 500, "x" * MOST_CHARACTERS),
        ("", None),
        (" \n ", None),
        (f"the key is {MASK}", None),
        (f"the key follows\n{MASK}", "the key follows"),
    ],
)
def test_the_first_line_is_the_title(text: str, title: str | None) -> None:
    assert title_of(text) == title
