"""Text that arrives in pieces is wrapped between words."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aish.screen.cells import width
from aish.screen.wrapping import Wrapping

TEXTS = st.text(st.sampled_from("ab世\u0301 \t\n"), max_size=60)


def wrapped(pieces: list[str], columns: int) -> str:
    wrapping = Wrapping(lambda: columns)
    return "".join(map(wrapping.feed, pieces)) + wrapping.end()


def test_a_word_that_does_not_fit_begins_the_next_line() -> None:
    assert wrapped(["one two thr", "ee four"], 10) == "one two\nthree four"
    assert wrapped(["one\n  two  three\n\n- four"], 8) == "one\n  two\nthree\n\n- four"
    assert wrapped(["ab ", "cdefghijklmno op"], 5) == "ab cdefghijklmno op"  # the terminal breaks it
    assert wrapped(["\x1b[31mone\x1b[0m \x1b[1mtwo\x1b[0m"], 7) == "\x1b[31mone\x1b[0m \x1b[1mtwo\x1b[0m"
    assert wrapped(["世界 世界"], 8) == "世界\n世界"
    assert wrapped(["one two"], 0) == "one two"  # the width is unknown


def test_what_is_shown_next_begins_a_line() -> None:
    wrapping = Wrapping(lambda: 8)
    assert wrapping.feed("one tw") + wrapping.end() == "one tw"
    assert wrapping.feed("three four ") + wrapping.end() == "three\nfour"


@given(TEXTS, st.lists(st.integers(0, 60), max_size=4), st.integers(1, 12))
def test_pieces_are_wrapped_as_the_whole_and_no_word_is_lost(
    text: str, cuts: list[int], columns: int
) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    shown = wrapped(pieces, columns)
    assert shown == wrapped([text], columns)
    assert re.split(r"[ \t\n]+", shown.strip(" \t\n")) == re.split(r"[ \t\n]+", text.strip(" \t\n"))
    widest = max((width(word) for word in re.split(r"[ \t\n]+", text)), default=0)
    indented = any(line[:1] in (" ", "\t") for line in text.split("\n"))
    if widest <= columns and not indented:
        assert all(width(line) <= columns for line in shown.split("\n"))
