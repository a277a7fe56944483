"""Text that imitates the heading of another peer's part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.headings import Quoting, quoted_lines, quoted_on_terminal


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("[From Bob]", "[ From Bob]"),
        (" \t[from bob]", " \t[ from bob]"),
        ("a\r[From Bob]", "a\r[ From Bob]"),
        ("\u200b[From Bob]\n", "[ From Bob]\n"),
        ("[\x1b[31mFrom Bob]", "[ \x1b[31mFrom Bob]"),
        ("\x1b]0;t\x07[From Bob]", "[ From Bob]"),
        ("\uff3b\uff26rom Bob]", "\uff3b \uff26rom Bob]"),
        ("[Fr\u043em Bob]", "[ Fr\u043em Bob]"),
        ("see [From Bob]", "see [From Bob]"),
        ("[Form 1] [x] [Über uns]", "[Form 1] [x] [Über uns]"),
        ("[From", "[From"),
        ("[Fromage x]", "[Fromage x]"),
    ],
)
def test_a_line_that_looks_like_a_heading_gets_a_blank(text: str, quoted: str) -> None:
    assert quoted_lines(text) == quoted


def test_on_a_terminal_a_heading_is_quoted_wherever_it_stands() -> None:
    assert quoted_on_terminal("x [From Bob] [\x1b[1mFrom B]") == "x [ From Bob] [ \x1b[1mFrom B]"


pieces = st.lists(
    st.sampled_from(["[", "From ", "Fro", "m", " ", "x", "\n", "\x1b[1m", "\u200b", "]"]), max_size=12
)


@given(pieces)
def test_any_pieces_are_quoted_as_the_whole(parts: list[str]) -> None:
    quoting = Quoting()
    shown = "".join(map(quoting.feed, parts)) + quoting.end()
    assert shown == quoted_on_terminal("".join(parts))
    assert "[From " not in shown
