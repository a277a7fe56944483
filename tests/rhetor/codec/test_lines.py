"""Lines from bytes in any chunking."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from rhetor.codec.lines import Cut, Lines

TEXT = b"one\n\ntwo\r\n\xff\x00three\n" + b"x" * 50 + b"\n" + b"y" * 49 + b"\nlast"
WANTED: list[bytes | Cut] = [b"one", b"", b"two\r", b"\xff\x00three", Cut(b"x" * 50, 50), b"y" * 49, b"last"]


def read(pieces: Sequence[bytes], most: int = 49) -> list[bytes | Cut]:
    lines = Lines(most)
    found = [line for piece in pieces for line in lines.feed(piece)]
    return found + lines.finish()


def test_any_chunking_gives_the_same_lines() -> None:
    chance = random.Random(7)
    assert read([TEXT]) == WANTED
    assert read([TEXT[at : at + 1] for at in range(len(TEXT))]) == WANTED
    for _ in range(200):
        cuts = sorted(chance.sample(range(len(TEXT)), chance.randint(1, 20)))
        assert read([TEXT[a:b] for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]) == WANTED


def test_an_overlong_line_becomes_a_cut_and_the_next_one_is_read() -> None:
    lines = Lines(10_000)
    for _ in range(1_000):
        assert lines.feed(b"z" * 1_000) == []
        assert sum(map(len, lines._pieces)) <= 11_000
    assert lines.held == 1_000_000
    assert lines.feed(b"\nnext\n") == [Cut(b"z" * Lines.KEPT_OF_CUT, 1_000_000), b"next"]
    assert (lines.held, lines.finish()) == (0, [])


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_last_line_needs_no_newline(end: bytes) -> None:
    assert read([b"a\nb" + end]) == [b"a", b"b"]
